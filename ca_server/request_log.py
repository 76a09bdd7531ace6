"""What every HTTP door does around a request: an id, one line in the log, its time measured, safe headers.

Neither the path nor the query nor any header or body is logged: the route's pattern says which door it
was, and whatever a client put elsewhere stays where it is (R23).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

import structlog
from flask import Flask, Response, g, request

from ca_server.core.authorization import Principal
from ca_server.services import metrics

REQUEST_ID = "X-Request-Id"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
STRICT_TRANSPORT = "max-age=31536000"

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger(__name__)


def install_request_log(app: Flask, headers: Mapping[str, str] = HEADERS) -> None:
    """Put the id, the line, the measure and the headers around every request of an application."""

    def end(response: Response) -> Response:
        return _end(response, headers)

    app.before_request(_begin)
    app.after_request(end)


def _begin() -> None:
    g.started = time.perf_counter()
    asked = request.headers.get(REQUEST_ID, "")
    g.request_id = asked if _ACCEPTED_ID.fullmatch(asked) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response, headers: Mapping[str, str]) -> Response:
    seconds = time.perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule else "unmatched"
    # A method is whatever the client calls it; a label is not.
    method = request.method if request.method in _METHODS else "other"
    metrics.HTTP_SECONDS.labels(route, method, f"{response.status_code // 100}xx").observe(seconds)
    _write(route, method, response.status_code, seconds)
    response.headers[REQUEST_ID] = g.request_id
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
    return response


def _write(route: str, method: str, status: int, seconds: float) -> None:
    fields: dict[str, object] = {
        "route": route,
        "method": method,
        "status": status,
        "duration": int(seconds * 1_000_000_000),
        "outcome": "success" if status < 400 else "failure",
        "source": request.remote_addr or "unix",
    }
    who: Principal | None = g.get("principal")
    if who is not None:
        fields |= {"principal": who.id, "role": who.role}
    if g.get("rule_ids"):
        fields["rule_ids"] = g.rule_ids
    if g.get("serial_number"):
        fields["serial"] = g.serial_number
    unexpected = g.get("unexpected")
    if unexpected is not None:
        log.error("http.failed", exc_info=unexpected, **fields)
    else:
        log.info("http.answered", **fields)
