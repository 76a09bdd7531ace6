"""Every failure as RFC 9457 problem details: one total table, no traceback, nothing of the input echoed.

`type` is stable and names the kind; `rule_ids` name the rules broken; `errors` say where, by JSON Pointer.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from ca_server.core.errors import CaError, Kind, Violation

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:sealkeeper:problem:"
MAX_ERRORS = 50


@dataclass(frozen=True, slots=True)
class ProblemType:
    """How a kind looks on the wire."""

    status: HTTPStatus
    title: str


PROBLEMS: dict[Kind, ProblemType] = {
    Kind.MALFORMED: ProblemType(HTTPStatus.BAD_REQUEST, "The request is malformed"),
    Kind.UNAUTHENTICATED: ProblemType(HTTPStatus.UNAUTHORIZED, "Who you are was not proven"),
    Kind.FORBIDDEN: ProblemType(HTTPStatus.FORBIDDEN, "You may not do this"),
    Kind.NOT_FOUND: ProblemType(HTTPStatus.NOT_FOUND, "There is no such thing"),
    Kind.CONFLICT: ProblemType(HTTPStatus.CONFLICT, "This conflicts with what is there"),
    Kind.NOT_READY: ProblemType(HTTPStatus.CONFLICT, "It is too early for this"),
    Kind.BAD_CSR: ProblemType(HTTPStatus.BAD_REQUEST, "The CSR is not acceptable"),
    Kind.BAD_PUBLIC_KEY: ProblemType(HTTPStatus.BAD_REQUEST, "The public key is not acceptable"),
    Kind.REJECTED_IDENTIFIER: ProblemType(HTTPStatus.FORBIDDEN, "A name is not acceptable"),
    Kind.POLICY_REFUSED: ProblemType(HTTPStatus.FORBIDDEN, "Policy refuses this"),
    Kind.ALREADY_REVOKED: ProblemType(HTTPStatus.CONFLICT, "The certificate is revoked already"),
    Kind.BAD_NONCE: ProblemType(HTTPStatus.BAD_REQUEST, "The nonce is not ours or was used"),
    Kind.RATE_LIMITED: ProblemType(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
    Kind.UNAVAILABLE: ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "Not available at the moment"),
    Kind.INTERNAL: ProblemType(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here"),
}

# A key that stands for another body is the client's bug, not a race (draft-ietf-httpapi-idempotency-key).
_STATUS_OF_RULE = {"IDEMPOTENCY-REUSED": HTTPStatus.UNPROCESSABLE_ENTITY}

# What HTTP itself refuses for a reason that is one of our rules.
_RULE_OF_STATUS = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "REST-SIZE"}

RETRY_AFTER_DEFAULT = 5


def install_problems(app: Flask) -> None:
    """Answer every failure of the application, unknown routes too, with problem details."""
    app.register_error_handler(CaError, problem_of)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected)


def problem_of(error: CaError) -> Response:
    """A typed failure on the wire."""
    g.rule_ids = error.rule_ids
    known = PROBLEMS[error.kind]
    status = next((_STATUS_OF_RULE[rule] for rule in error.rule_ids if rule in _STATUS_OF_RULE), known.status)
    response = _problem(
        status, f"{TYPE_PREFIX}{error.kind.replace('_', '-')}", known.title, error.detail, error.violations
    )
    if error.kind in {Kind.UNAVAILABLE, Kind.RATE_LIMITED}:
        response.headers["Retry-After"] = str(error.retry_after or RETRY_AFTER_DEFAULT)
    if error.kind is Kind.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="sealkeeper"'
    return response


def validation_problem(error: ValidationError) -> Response:
    """A request that does not fit its schema; says where and why, never what was sent."""
    violations = tuple(
        Violation("REST-SCHEMA", each["msg"], _pointer(each["loc"], each["type"]))
        for each in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    )
    return problem_of(CaError(Kind.MALFORMED, "the request does not fit its schema", violations=violations))


def responses(*statuses: int) -> dict[str | int, Any]:
    """The failures that an operation declares in the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({400, 401, 403, 500, 503, *statuses})
    }


def _http_problem(error: HTTPException) -> ResponseReturnValue:
    """What Flask itself refuses: unknown routes, wrong methods, bodies that are too large.

    An error without a code, or with a response of its own, is an answer already.
    """
    if error.code is None or error.response is not None:
        return error
    status = HTTPStatus(error.code)
    detail = status.description or status.phrase
    rule_id = _RULE_OF_STATUS.get(status)
    violations = () if rule_id is None else (Violation(rule_id, detail),)
    g.rule_ids = tuple(each.rule_id for each in violations)
    response = _problem(status, "about:blank", status.phrase, detail, violations)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _unexpected(error: Exception) -> Response:
    """Our bug, or the machine's trouble: the cause goes to the log, not to the client."""
    g.unexpected = error
    internal = CaError(Kind.INTERNAL, "the request could not be completed; the log has the cause")
    return problem_of(internal)


def _problem(
    status: HTTPStatus, type_uri: str, title: str, detail: str, violations: tuple[Violation, ...]
) -> Response:
    body: dict[str, Any] = {
        "type": type_uri,
        "title": title,
        "status": int(status),
        "detail": detail,
        "rule_ids": list(dict.fromkeys(each.rule_id for each in violations)),
        "errors": [_error(each) for each in violations],
        "request_id": g.get("request_id", ""),
    }
    return Response(current_app.json.dumps(body), status=int(status), mimetype=MEDIA_TYPE)


def _error(violation: Violation) -> dict[str, str]:
    error = {"rule_id": violation.rule_id, "detail": violation.detail}
    if violation.pointer is not None:
        error["pointer"] = violation.pointer
    return error


def _pointer(location: tuple[int | str, ...], error_type: str) -> str:
    """RFC 6901; the name of an unknown member is the client's and is left out."""
    parts = location[:-1] if error_type == "extra_forbidden" else location
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)
