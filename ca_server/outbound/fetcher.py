"""Fetches what http-01 asks for: one GET, redirects followed by hand and judged anew each (R26, R27).

The standard library's client runs on a connection that the dialer opened: no pool, proxy, cookie,
credential or compression comes into play, for there is none.
"""

from __future__ import annotations

import http.client
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, urljoin, urlsplit

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.evidence import Evidence, printable
from ca_server.core.errors import CaError
from ca_server.core.name_syntax import canonical_dns, canonical_ip
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.dialer import BoundedSocket, Bounds, Dialer, TooMuch, wrap_in_tls

TOTAL_SECONDS = 10.0
MAX_REDIRECTS = 10
MAX_URL = 2000
# A key authorization has some 90 characters; whoever sends more than this sends something else.
MAX_BODY = 1024 + 128
# All that one response may bring with headers and framing.
MAX_RECEIVED = 64 * 1024

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
_URL_CHARACTERS = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back in the end, from where; the body has at most `MAX_BODY` bytes, else it is cut."""

    url: str
    status: int
    body: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class _Target:
    secure: bool
    host: str
    port: int
    request: str

    @property
    def authority(self) -> str:
        """The Host header (RFC 9110 §7.2): without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.request}"


class Fetcher:
    """Fetches over HTTP, to ports 80 and 443 and those configured for validation."""

    def __init__(self, dialer: Dialer, ports: frozenset[int]) -> None:
        self._dialer = dialer
        self._ports = ports | frozenset(_PORTS.values())

    def fetch(self, url: str, evidence: Evidence) -> Fetched:
        """GET a URL, through up to ten redirects, in ten seconds all together.

        Raises:
            ValidationFailed: dns; connection, a host could not be reached, talked too slowly or too much, or
                redirected to where we do not go; tls.
        """
        deadline = Deadline(TOTAL_SECONDS)
        for _ in range(MAX_REDIRECTS + 1):
            target = self._target(url)
            response = self._get(target, evidence, Bounds(deadline, MAX_RECEIVED))
            if not isinstance(response, str):
                return response
            url = _joined(target.url, response)
        raise ValidationFailed("connection", f"there are over {MAX_REDIRECTS} redirects")

    def _target(self, url: str) -> _Target:
        """Where a URL leads.

        Raises:
            ValidationFailed: connection, it leads to where we do not go.
        """
        shown = printable(url)
        if len(url) > MAX_URL or not _URL_CHARACTERS.fullmatch(url):
            raise ValidationFailed("connection", f"the URL {shown} is too long or has characters of no URL")
        try:
            parts = urlsplit(url)
            port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
            host = _host(parts)
        except (ValueError, CaError) as error:
            raise ValidationFailed(
                "connection", f"the URL {shown} names no host that can be asked"
            ) from error
        if parts.scheme not in _PORTS or parts.username is not None or parts.password is not None:
            raise ValidationFailed("connection", f"the URL {shown} is not plain http or https")
        if port not in self._ports:
            allowed = ", ".join(map(str, sorted(self._ports)))
            raise ValidationFailed("connection", f"the URL {shown} has port {port}, not one of {allowed}")
        request = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return _Target(parts.scheme == "https", host, port, request)

    def _get(self, target: _Target, evidence: Evidence, bounds: Bounds) -> Fetched | str:
        """What came back, or the place that it redirects to."""
        sock: BoundedSocket | ssl.SSLSocket = self._dialer.connect(target.host, target.port, evidence, bounds)
        try:
            if target.secure:
                assert isinstance(sock, BoundedSocket)
                sock = wrap_in_tls(sock, _unverified(), _server_name(target.host), bounds)
            with sock:
                return self._exchange(sock, target, evidence)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A chunk of negative length is a ValueError to the library.
            failure = _failure(error, target)
            evidence.note("http", url=target.url, error=failure.problem.detail)
            raise failure from error

    def _exchange(
        self, sock: BoundedSocket | ssl.SSLSocket, target: _Target, evidence: Evidence
    ) -> Fetched | str:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = sock
        connection.putrequest("GET", target.request, skip_host=True, skip_accept_encoding=True)
        for name, value in (
            ("Host", target.authority),
            ("User-Agent", "sealkeeper-validation"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as response:
            location = response.getheader("Location")
            if response.status in _REDIRECTS and location is not None:
                evidence.note("http", url=target.url, status=response.status, location=location)
                return location
            body = response.read(MAX_BODY + 1)
        evidence.note("http", url=target.url, status=response.status, bytes=len(body))
        return Fetched(target.url, response.status, body[:MAX_BODY], len(body) <= MAX_BODY)


def _joined(base: str, location: str) -> str:
    """Where a redirect leads; one that cannot be read stays as it is and is refused as such."""
    try:
        return urljoin(base, location)
    except ValueError:
        return location


def _host(parts: SplitResult) -> str:
    """A URL's host in the one spelling that names and addresses have; others are refused."""
    host = parts.hostname or ""
    if parts.netloc.rpartition("@")[2].startswith("["):
        return canonical_ip(host)
    if "*" in host:
        raise ValueError("a pattern is no host")
    try:
        return canonical_ip(host)
    except CaError:
        return canonical_dns(host)


def _server_name(host: str) -> str | None:
    """RFC 6066 §3 has no addresses as server names."""
    try:
        canonical_ip(host)
    except CaError:
        return host
    return None


def _unverified() -> ssl.SSLContext:
    """TLS without a look at the certificate, which RFC 8555 §8.3 asks for in redirects to https.

    Who proves a name for a certificate may have none yet, or an old one. What is proven here rests on the
    key authorization that is read, over http as over https.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _failure(error: OSError | http.client.HTTPException | ValueError, target: _Target) -> ValidationFailed:
    url = printable(target.url)
    match error:
        case TooMuch():
            return ValidationFailed("connection", f"{url} sent over {MAX_RECEIVED} bytes")
        case TimeoutError():
            return ValidationFailed("connection", f"{url} did not answer within {TOTAL_SECONDS:.0f} seconds")
        case ssl.SSLError():
            return ValidationFailed("tls", f"{url}: no TLS ({printable(error.reason or 'closed')})")
        case OSError():
            return ValidationFailed("connection", f"{url} closed the connection")
    return ValidationFailed("connection", f"{url} did not answer in HTTP")
