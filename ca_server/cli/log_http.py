"""Fetches a log's resources over HTTP: plain GET, one connection, sizes capped, no redirects."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from urllib.parse import quote, urlsplit

from ca_server.core.errors import CaError, Kind, refuse

TIMEOUT = 30


class HttpLog:
    """A log below a URL such as `https://ca.example:8443/audit`."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise CaError(Kind.MALFORMED, f"{url} is no URL") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise CaError(Kind.MALFORMED, f"{url} is no http or https URL of a log")
        self._prefix = parts.path.rstrip("/")
        if parts.scheme == "https":
            trust = ssl.create_default_context(cafile=ca_file)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, port, timeout=TIMEOUT, context=trust
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, port, timeout=TIMEOUT)

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """One resource.

        Raises:
            CaError: not_found, AUDIT-FETCH, the log does not have it; unavailable, it cannot be had;
                malformed, it is larger than it may be.
        """
        try:
            response = self._get(f"{self._prefix}/{quote(path)}")
            data = response.read(max_bytes + 1)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _missing(f"{path} cannot be fetched: {error}") from error
        if response.status == 404:
            self._connection.close()
            raise refuse(Kind.NOT_FOUND, "AUDIT-FETCH", f"{path} is not in the log: the server answers 404")
        if response.status != 200:
            self._connection.close()
            raise _missing(f"{path} cannot be fetched: the server answers {response.status}")
        if len(data) > max_bytes:
            self._connection.close()
            raise refuse(Kind.MALFORMED, "AUDIT-FETCH", f"{path} has over {max_bytes} bytes")
        return data

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _get(self, target: str) -> http.client.HTTPResponse:
        """Ask once, and once more where the server had closed an idle connection."""
        try:
            self._connection.request("GET", target)
            return self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._connection.close()
            self._connection.request("GET", target)
            return self._connection.getresponse()


def _missing(detail: str) -> CaError:
    return refuse(Kind.UNAVAILABLE, "AUDIT-FETCH", detail)
