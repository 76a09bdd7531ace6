"""The HTTP door: POST and GET as RFC 6960 appendix A, cache headers as RFC 5019, health and metrics.

A plain WSGI callable, because a web framework would cost more than the answer does.
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ca_server.core.clock import Clock
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.ocsp import MAX_REQUEST_BYTES
from ca_server.hsm.port import SignatureUnknown
from ocsp_responder.certificate_metrics import DelegatedCertificates
from ocsp_responder.metrics import CACHED, RESPONSES
from ocsp_responder.responder import Reply, Responder, refusal
from ocsp_responder.signer import Issuer

log = logging.getLogger(__name__)

READY_SECONDS = 5.0
MAX_PATH_LENGTH = 2 * MAX_REQUEST_BYTES

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Environ = dict[str, Any]

_OCSP_TYPE = ("Content-Type", "application/ocsp-response")
_TEXT_TYPE = ("Content-Type", "text/plain; charset=utf-8")


class Application:
    """One a process. `end` stops this process once the current answer is out."""

    def __init__(
        self,
        responder: Responder,
        issuers: tuple[Issuer, ...],
        clock: Clock,
        max_age: timedelta,
        end: Callable[[], None],
    ) -> None:
        self._responder = responder
        self._issuers = issuers
        self._clock = clock
        self._max_age = int(max_age.total_seconds())
        self._end = end
        self._looking = threading.Lock()
        self._ready_at = float("-inf")
        self._troubles: list[str] = []
        self._pages = {"/livez": self._live, "/readyz": self._ready, "/metrics": self._metrics}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        method = environ["REQUEST_METHOD"]
        if method == "POST":
            return self._ocsp(environ, start_response, read_body(environ))
        if method != "GET":
            return _send(start_response, "405 Method Not Allowed", [("Allow", "GET, POST")], b"")
        path = environ["PATH_INFO"]
        if path in self._pages:
            return self._pages[path](start_response)
        try:
            data = decode_path(path)
        except CaError as error:
            return self._reply(environ, start_response, refusal(error))
        return self._ocsp(environ, start_response, data)

    def _ocsp(self, environ: Environ, start_response: StartResponse, data: bytes) -> Iterable[bytes]:
        try:
            reply = self._responder.respond(data)
        except SignatureUnknown:
            log.critical("the token did not answer in time: this process ends")
            self._end()
            reply = refusal(CaError(Kind.UNAVAILABLE, "the token did not answer in time"))
        except Exception:
            log.exception("a bug kept an answer from being made")
            reply = refusal(CaError(Kind.INTERNAL, "a bug"))
        return self._reply(environ, start_response, reply)

    def _reply(self, environ: Environ, start_response: StartResponse, reply: Reply) -> Iterable[bytes]:
        RESPONSES.labels(reply.word).inc()
        if reply.cached:
            CACHED.inc()
        headers = self._cache_headers(reply) if environ["REQUEST_METHOD"] == "GET" else []
        if not headers:
            return _send(start_response, "200 OK", [_OCSP_TYPE, ("Cache-Control", "no-store")], reply.der)
        if environ.get("HTTP_IF_NONE_MATCH") == f'"{reply.etag}"':
            return _send(start_response, "304 Not Modified", headers, b"")
        return _send(start_response, "200 OK", [_OCSP_TYPE, *headers], reply.der)

    def _cache_headers(self, reply: Reply) -> list[tuple[str, str]]:
        """RFC 5019 §6.2; far shorter than the answer is good, so that a revocation is seen soon."""
        if reply.this_update is None or reply.next_update is None:
            return []
        now = self._clock.now()
        max_age = max(0, min(self._max_age, int((reply.next_update - now).total_seconds())))
        return [
            ("Cache-Control", f"max-age={max_age}, public, no-transform, must-revalidate"),
            ("ETag", f'"{reply.etag}"'),
            ("Last-Modified", _http_date(reply.this_update)),
            ("Expires", _http_date(now + timedelta(seconds=max_age))),
        ]

    def _live(self, start_response: StartResponse) -> Iterable[bytes]:
        return _send(start_response, "200 OK", [_TEXT_TYPE], b"ok\n")

    def _ready(self, start_response: StartResponse) -> Iterable[bytes]:
        """Whether answers can be signed and are true; looked at every few seconds, however often asked."""
        with self._looking:
            now = time.monotonic()
            if now - self._ready_at >= READY_SECONDS:
                self._troubles = self._look_around()
                self._ready_at = now
            troubles = self._troubles
        status = "503 Service Unavailable" if troubles else "200 OK"
        body = "\n".join(troubles or ["ok"]) + "\n"
        return _send(start_response, status, [_TEXT_TYPE, ("Cache-Control", "no-store")], body.encode())

    def _look_around(self) -> list[str]:
        checks: list[tuple[str, Callable[[], None]]] = [("database", self._responder.require_fresh)]
        now = self._clock.now()
        for issuer in self._issuers:
            checks.append((f"certificate of {issuer.authority_id}", partial(issuer.require_valid, now)))
            checks.append((f"key of {issuer.authority_id}", issuer.check))
        troubles = []
        for name, check in checks:
            try:
                check()
            except CaError as error:
                log.warning("not ready: %s: %s", name, error.detail)
                troubles.append(f"{name}: not ready")
            except SignatureUnknown:
                log.critical("the token did not answer in time: this process ends")
                self._end()
                troubles.append(f"{name}: not ready")
        return troubles

    def _metrics(self, start_response: StartResponse) -> Iterable[bytes]:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        registry.register(DelegatedCertificates(self._issuers))
        body = generate_latest(registry)
        return _send(start_response, "200 OK", [("Content-Type", CONTENT_TYPE_LATEST)], body)


def read_body(environ: Environ) -> bytes:
    """The body, at most one byte more than a request may have, however it was announced (R32)."""
    body: bytes = environ["wsgi.input"].read(MAX_REQUEST_BYTES + 1)
    return body


def decode_path(path: str) -> bytes:
    """The request in a GET path (RFC 6960 appendix A.1), percent-decoded once by the server.

    Clients put one slash too many before it, decode `+` to a blank, or escape twice; none of that makes
    another request of it.

    Raises:
        CaError: malformed, `OCSP-PATH`.
    """
    if len(path) > MAX_PATH_LENGTH:
        raise refuse(Kind.MALFORMED, "OCSP-PATH", "the path is too long for an OCSP request")
    text = unquote(path.lstrip("/")).replace(" ", "+")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse(Kind.MALFORMED, "OCSP-PATH", "the path is not base64") from error


def _http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def _send(
    start_response: StartResponse, status: str, headers: list[tuple[str, str]], body: bytes
) -> Iterable[bytes]:
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]
