"""Every failure in the words of RFC 8555 §6.7: one table of kinds, and one of rules with their own word.

Several broken rules become subproblems, each with the identifier that it is about (§6.7.1).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from ca_server.acme.services import services
from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.jose import ALGORITHMS

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ietf:params:acme:error:"
MAX_SUBPROBLEMS = 100
RETRY_AFTER_DEFAULT = 5


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A word of RFC 8555 §6.7 (or of a later one), and the status that goes with it."""

    word: str
    status: HTTPStatus


KINDS: dict[Kind, ProblemType] = {
    Kind.MALFORMED: ProblemType("malformed", HTTPStatus.BAD_REQUEST),
    Kind.UNAUTHENTICATED: ProblemType("unauthorized", HTTPStatus.UNAUTHORIZED),
    Kind.FORBIDDEN: ProblemType("unauthorized", HTTPStatus.FORBIDDEN),
    Kind.NOT_FOUND: ProblemType("malformed", HTTPStatus.NOT_FOUND),
    Kind.CONFLICT: ProblemType("malformed", HTTPStatus.CONFLICT),
    Kind.NOT_READY: ProblemType("serverInternal", HTTPStatus.SERVICE_UNAVAILABLE),
    Kind.BAD_CSR: ProblemType("badCSR", HTTPStatus.BAD_REQUEST),
    Kind.BAD_PUBLIC_KEY: ProblemType("badPublicKey", HTTPStatus.BAD_REQUEST),
    Kind.REJECTED_IDENTIFIER: ProblemType("rejectedIdentifier", HTTPStatus.BAD_REQUEST),
    Kind.POLICY_REFUSED: ProblemType("malformed", HTTPStatus.FORBIDDEN),
    Kind.ALREADY_REVOKED: ProblemType("alreadyRevoked", HTTPStatus.BAD_REQUEST),
    Kind.BAD_NONCE: ProblemType("badNonce", HTTPStatus.BAD_REQUEST),
    Kind.RATE_LIMITED: ProblemType("rateLimited", HTTPStatus.TOO_MANY_REQUESTS),
    Kind.UNAVAILABLE: ProblemType("serverInternal", HTTPStatus.SERVICE_UNAVAILABLE),
    Kind.INTERNAL: ProblemType("serverInternal", HTTPStatus.INTERNAL_SERVER_ERROR),
}

RULES: dict[str, ProblemType] = {
    "ACME-ACCOUNT-UNKNOWN": ProblemType("accountDoesNotExist", HTTPStatus.BAD_REQUEST),
    "ACME-ALGORITHM": ProblemType("badSignatureAlgorithm", HTTPStatus.BAD_REQUEST),
    "ACME-CAA": ProblemType("caa", HTTPStatus.FORBIDDEN),
    "ACME-CAA-LOOKUP": ProblemType("dns", HTTPStatus.SERVICE_UNAVAILABLE),
    "ACME-CONTACT": ProblemType("invalidContact", HTTPStatus.BAD_REQUEST),
    "ACME-CONTACT-SCHEME": ProblemType("unsupportedContact", HTTPStatus.BAD_REQUEST),
    "ACME-EAB-REQUIRED": ProblemType("externalAccountRequired", HTTPStatus.FORBIDDEN),
    "ACME-IDENTIFIER-TYPE": ProblemType("unsupportedIdentifier", HTTPStatus.BAD_REQUEST),
    "ACME-ORDER-NOT-READY": ProblemType("orderNotReady", HTTPStatus.FORBIDDEN),
    "ACME-PROFILE": ProblemType("invalidProfile", HTTPStatus.BAD_REQUEST),
    "ACME-REASON": ProblemType("badRevocationReason", HTTPStatus.BAD_REQUEST),
    "ACME-REPLACED": ProblemType("alreadyReplaced", HTTPStatus.CONFLICT),
    "ACME-TERMS": ProblemType("userActionRequired", HTTPStatus.FORBIDDEN),
}

# What stands at the top when the subproblems are of several types (§6.7.1).
COMPOUND = "compound"

_IDENTIFIER = re.compile(r"/identifiers/([0-9]{1,4})")


def install_problems(app: Flask) -> None:
    """Answer every failure of the application, unknown routes too, in ACME's words."""
    app.register_error_handler(CaError, problem_of)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected)


def problem_of(error: CaError) -> Response:
    """A typed failure on the wire."""
    g.rule_ids = error.rule_ids
    found = _type_of(error)
    body: dict[str, Any] = _problem(found, error.detail)
    listed = error.violations[:MAX_SUBPROBLEMS]
    if len(listed) > 1 or any(_identifier(each) for each in listed):
        body["subproblems"] = [_subproblem(error.kind, each) for each in listed]
    body["rule_ids"] = list(dict.fromkeys(error.rule_ids))
    terms = services().settings.terms_of_service
    if "ACME-ALGORITHM" in error.rule_ids:
        body["algorithms"] = list(ALGORITHMS)
    if "ACME-TERMS" in error.rule_ids and terms:
        body["instance"] = terms
    response = _response(body)
    if "ACME-TERMS" in error.rule_ids and terms:
        response.headers.add("Link", f'<{terms}>;rel="terms-of-service"')
    if found.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        response.headers["Retry-After"] = str(error.retry_after or RETRY_AFTER_DEFAULT)
    return response


def payload_problem(error: ValidationError) -> CaError:
    """A payload that does not fit its schema; says where and why, never what was sent."""
    violations = tuple(
        Violation("ACME-PAYLOAD", each["msg"], "".join(f"/{part}" for part in each["loc"]))
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )
    first = violations[0]
    return CaError(
        Kind.MALFORMED, f"the payload is not right at {first.pointer}: {first.detail}", violations=violations
    )


def type_uri(word: str) -> str:
    """The URN of a word of RFC 8555 §6.7."""
    return f"{TYPE_PREFIX}{word}"


def _type_of(error: CaError) -> ProblemType:
    types = list(dict.fromkeys(_violation_type(error.kind, each) for each in error.violations))
    if len(types) > 1 and len({each.word for each in types}) > 1:
        return ProblemType(COMPOUND, KINDS[error.kind].status)
    return types[0] if types else KINDS[error.kind]


def _violation_type(kind: Kind, violation: Violation) -> ProblemType:
    return RULES.get(violation.rule_id, KINDS[kind])


def _problem(found: ProblemType, detail: str) -> dict[str, Any]:
    return {"type": type_uri(found.word), "status": int(found.status), "detail": detail}


def _subproblem(kind: Kind, violation: Violation) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": type_uri(_violation_type(kind, violation).word),
        "detail": violation.detail,
    }
    identifier = _identifier(violation)
    if identifier is not None:
        body["identifier"] = identifier
    return body


def _identifier(violation: Violation) -> dict[str, str] | None:
    """The name that a violation is about, as the client sent it; `g.identifiers` are those of the order."""
    match = _IDENTIFIER.match(violation.pointer or "")
    names: list[dict[str, str]] = g.get("identifiers", [])
    return names[int(match[1])] if match and int(match[1]) < len(names) else None


def _http_problem(error: HTTPException) -> ResponseReturnValue:
    """What Flask itself refuses: unknown routes, wrong methods, bodies too large or of another type."""
    if error.code is None or error.response is not None:
        return error
    status = HTTPStatus(error.code)
    word = "serverInternal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "malformed"
    response = _response(_problem(ProblemType(word, status), status.description or status.phrase))
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _unexpected(error: Exception) -> Response:
    """Our bug, or the machine's trouble: the cause goes to the log, not to the client."""
    g.unexpected = error
    return problem_of(CaError(Kind.INTERNAL, "the request could not be completed; the log has the cause"))


def _response(body: dict[str, Any]) -> Response:
    response = Response(json.dumps(body), status=body["status"], mimetype=MEDIA_TYPE)
    response.headers["Content-Language"] = "en"
    return response
