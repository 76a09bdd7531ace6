"""Every failure as text that tells a field engineer what is wrong: one total table, no traceback.

RFC 7030 §4.2.3 has no machine-readable error; the rule ids in brackets at the end are the same everywhere.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from flask import Flask, Response, g
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from ca_server.core.errors import CaError, Kind

MAX_SENTENCES = 10
RETRY_AFTER_DEFAULT = 5
# Short, and without a charset: there are clients that compare it with what they know.
CHALLENGE = 'Basic realm="sealkeeper"'

STATUSES: dict[Kind, HTTPStatus] = {
    Kind.MALFORMED: HTTPStatus.BAD_REQUEST,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.NOT_READY: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.BAD_CSR: HTTPStatus.BAD_REQUEST,
    Kind.BAD_PUBLIC_KEY: HTTPStatus.BAD_REQUEST,
    Kind.REJECTED_IDENTIFIER: HTTPStatus.BAD_REQUEST,
    Kind.POLICY_REFUSED: HTTPStatus.BAD_REQUEST,
    Kind.ALREADY_REVOKED: HTTPStatus.CONFLICT,
    Kind.BAD_NONCE: HTTPStatus.BAD_REQUEST,
    Kind.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Kind.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# Rules that have a status of their own.
STATUS_OF_RULE = {
    "APPROVAL-PENDING": HTTPStatus.ACCEPTED,
    "EST-MEDIA-TYPE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "EST-METHOD": HTTPStatus.METHOD_NOT_ALLOWED,
    "EST-SIZE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}

# What a sentence begins with, unlike `www.example.com`, `tls-peer`, `common_name` and `challengePassword`.
_WORD = re.compile(r"[a-z]+(?:'s)?(?:[,:;]?\s|\.?$)")

_PATIENCE = {HTTPStatus.ACCEPTED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


def install_failures(app: Flask) -> None:
    """Answer every failure of the application in text."""
    app.register_error_handler(CaError, failure_reply)
    app.register_error_handler(HTTPException, _http_failure)
    app.register_error_handler(Exception, _unexpected)


def failure_reply(error: CaError) -> Response:
    """A typed failure on the wire."""
    g.rule_ids = error.rule_ids
    status = next(
        (STATUS_OF_RULE[rule] for rule in error.rule_ids if rule in STATUS_OF_RULE), STATUSES[error.kind]
    )
    response = Response(failure_text(error), status=status, content_type="text/plain; charset=utf-8")
    if status in _PATIENCE:
        response.headers["Retry-After"] = str(error.retry_after or RETRY_AFTER_DEFAULT)
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = CHALLENGE
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = g.get("allowed", "")
    return response


def failure_text(error: CaError) -> str:
    """What is wrong, a sentence for each broken rule, and the rules in brackets."""
    said = dict.fromkeys(each.detail for each in error.violations) or {error.detail: None}
    sentences = [_sentence(each) for each in list(said)[:MAX_SENTENCES]]
    if len(said) > MAX_SENTENCES:
        sentences.append(f"{len(said) - MAX_SENTENCES} more things are wrong.")
    if error.rule_ids:
        sentences.append(f"[{', '.join(dict.fromkeys(error.rule_ids))}]")
    return " ".join(sentences) + "\n"


def _sentence(detail: str) -> str:
    """A detail as the other doors show it, with a full stop, and a capital unless it begins with a name."""
    if _WORD.match(detail):
        detail = detail[:1].upper() + detail[1:]
    return f"{detail.removesuffix('.')}."


def _http_failure(error: HTTPException) -> ResponseReturnValue:
    """What Flask itself refuses; routes and methods are judged before, and bodies where they are read."""
    if error.code is None or error.response is not None:
        return error
    status = HTTPStatus(error.code)
    kind = Kind.INTERNAL if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Kind.MALFORMED
    return failure_reply(CaError(kind, status.description or status.phrase))


def _unexpected(error: Exception) -> Response:
    """Our bug, or the machine's trouble: the cause goes to the log, not to the client."""
    g.unexpected = error
    return failure_reply(CaError(Kind.INTERNAL, "the request could not be completed; the log has the cause"))
