"""Speaks REST to a running server: HTTPS only, sizes capped, no redirects, failures as typed errors."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from ca_server.core.errors import CaError, Kind, Violation

PREFIX = "/api/v1"
TIMEOUT = 60
MAX_REPLY_BYTES = 8 * 1024 * 1024
MAX_TOKEN_BYTES = 1024
MAX_PAGE = 200
ATTEMPTS = 3
LONGEST_WAIT = 10

_TYPE_PREFIX = "urn:sealkeeper:problem:"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered, as it came."""

    status: int
    body: bytes
    retry_after: int | None = None

    def json(self) -> dict[str, Any]:
        """The body as the JSON object that it is.

        Raises:
            CaError: internal, it is something else.
        """
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise CaError(Kind.INTERNAL, "the server's answer is not JSON") from error
        if not isinstance(value, dict):
            raise CaError(Kind.INTERNAL, "the server's answer is not a JSON object")
        return value


class APIClient:
    """One server, one token; `root` is the PEM file of the anchors to trust instead of the system's."""

    def __init__(self, url: str, root: Path | None, token_file: Path) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise CaError(Kind.MALFORMED, "the server's URL looks like https://ca.example.com:8443")
        self._host, self._port = parts.hostname, parts.port
        self._root = root
        self._token = _read_token(token_file)

    def get(
        self, path: str, query: dict[str, Any] | None = None, *, accept: str = "application/json"
    ) -> Reply:
        """Read a resource."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._send("GET", f"{path}?{urlencode(given)}" if given else path, {"Accept": accept})

    def items(self, path: str, query: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        """The first so many of a collection, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            asked = {**query, "limit": min(MAX_PAGE, limit - len(found)), "cursor": cursor}
            page = self.get(path, asked).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
        """Send a JSON object."""
        data = json.dumps({name: value for name, value in body.items() if value is not None})
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self._send("POST", path, headers, data.encode())

    def delete(self, path: str) -> Reply:
        """Take something away."""
        return self._send("DELETE", path, {})

    def post_until_answered(self, path: str, body: dict[str, Any], idempotency_key: str) -> Reply:
        """As `post`; the key makes it safe to ask again when the server is away for a moment."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.post(path, body, {"Idempotency-Key": idempotency_key})
            except CaError as error:
                if error.kind is not Kind.UNAVAILABLE or attempt == ATTEMPTS:
                    raise
                time.sleep(min(error.retry_after or 1, LONGEST_WAIT))
        raise AssertionError("the loop above returns or raises")

    def _send(self, method: str, path: str, headers: dict[str, str], data: bytes | None = None) -> Reply:
        """One request over a connection of its own.

        Raises:
            CaError: what the server's problem details say; unavailable, it cannot be reached.
        """
        try:
            trust = ssl.create_default_context(cafile=self._root)
        except OSError as error:
            raise CaError(Kind.MALFORMED, f"cannot read trust anchors from {self._root}") from error
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=trust)
        try:
            connection.request(
                method, PREFIX + path, data, {**headers, "Authorization": f"Bearer {self._token}"}
            )
            response = connection.getresponse()
            body = response.read(MAX_REPLY_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            detail = f"the server at {self._host} cannot be reached: {error}"
            raise CaError(Kind.UNAVAILABLE, detail) from error
        finally:
            connection.close()
        if len(body) > MAX_REPLY_BYTES:
            raise CaError(Kind.INTERNAL, f"the server's answer has over {MAX_REPLY_BYTES} bytes")
        told = response.headers.get("Retry-After", "")
        reply = Reply(response.status, body, int(told) if told.isdecimal() else None)
        if response.status >= 300:
            raise _failure(reply)
        return reply


def client_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which server to ask and by what right; the command gets an `APIClient` first."""

    @click.option(
        "--ca-url",
        envvar="SEALKEEPER_URL",
        show_envvar=True,
        required=True,
        help="Such as https://ca.example:8443.",
    )
    @click.option(
        "--root",
        envvar="SEALKEEPER_ROOT",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="PEM file of the trust anchors; the system's without it.",
    )
    @click.option(
        "--token-file",
        envvar="SEALKEEPER_TOKEN_FILE",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        required=True,
        help="File that holds the API token.",
    )
    @wraps(function)
    def with_client(ca_url: str, root: Path | None, token_file: Path, **arguments: Any) -> Any:
        return function(APIClient(ca_url, root, token_file), **arguments)

    return with_client


def _read_token(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_TOKEN_BYTES + 1)
    token = data.decode("ascii", "replace").strip()
    if len(data) > MAX_TOKEN_BYTES or not token.isprintable() or " " in token or not token:
        raise CaError(Kind.MALFORMED, f"{path} does not hold an API token")
    return token


def _failure(reply: Reply) -> CaError:
    """The server's problem details as the error that they were there (RFC 9457)."""
    try:
        problem = reply.json()
    except CaError:
        return CaError(_kind_of(reply.status, ""), f"the server answered {reply.status}")
    violations = tuple(
        Violation(str(each.get("rule_id", "")), str(each.get("detail", "")), each.get("pointer"))
        for each in problem.get("errors", [])
        if isinstance(each, dict)
    )
    return CaError(
        _kind_of(reply.status, str(problem.get("type", ""))),
        str(problem.get("detail") or f"the server answered {reply.status}"),
        violations=violations,
        retry_after=reply.retry_after,
    )


def _kind_of(status: int, problem_type: str) -> Kind:
    name = problem_type.removeprefix(_TYPE_PREFIX).replace("-", "_")
    if name in list(Kind):
        return Kind(name)
    return Kind.UNAVAILABLE if status in {429, 502, 503, 504} else Kind.INTERNAL
