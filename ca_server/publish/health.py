"""`/livez` and `/readyz`, as Kubernetes and load balancers ask: does it run, and can it do its work.

`/health` says the same as `/livez`, for those who ask by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from flask import Blueprint, Response, jsonify, request

from ca_server.core.errors import CaError

log = structlog.get_logger(__name__)

Check = Callable[[], None]
Checks = Mapping[str, Check]


def health_blueprint(checks: Checks) -> Blueprint:
    """Readiness is the named checks, all of which must pass without raising."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health", endpoint="health")
    @blueprint.get("/livez")
    def livez() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        failures = {name: why for name, check in checks.items() if (why := _failure(name, check))}
        body: dict[str, object] = {"status": "unavailable" if failures else "ok"}
        if "verbose" in request.args:
            body["checks"] = {name: failures.get(name, "ok") for name in checks}
        response = jsonify(body)
        if failures:
            response.status_code = 503
            response.headers["Retry-After"] = "5"
        return response

    return blueprint


def _failure(name: str, check: Check) -> str | None:
    """Why a check does not pass, in words that everybody may read."""
    try:
        check()
    except CaError as error:
        return error.detail
    except Exception:
        log.exception("health.check_failed", job=name)
        return "the check itself failed; the log has the cause"
    return None
