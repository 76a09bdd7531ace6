"""The audit log over HTTP (C2SP tlog-tiles): checkpoint, tiles, entry bundles, key, and proofs."""

from __future__ import annotations

import gzip

from flask import Blueprint, Response, request

from ca_server.core.audit.note import VerifierKey
from ca_server.core.audit.tiles import parse_tile
from ca_server.core.errors import CaError, Kind
from ca_server.services.audit_reading import AuditReader

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
# A named tile never changes; checkpoint and proofs do.
_IMMUTABLE = "public, max-age=31536000, immutable"
_FRESH = "no-cache"

_STATUS: dict[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.NOT_READY: 503,
    Kind.BAD_CSR: 400,
    Kind.BAD_PUBLIC_KEY: 400,
    Kind.REJECTED_IDENTIFIER: 400,
    Kind.POLICY_REFUSED: 403,
    Kind.ALREADY_REVOKED: 409,
    Kind.BAD_NONCE: 400,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}


def audit_blueprint(reader: AuditReader, key: VerifierKey) -> Blueprint:
    """The log's resources below `/audit`; `key` is what its checkpoints verify with."""
    blueprint = Blueprint("audit", __name__, url_prefix="/audit")

    @blueprint.get("/checkpoint")
    def checkpoint() -> Response:
        return _answer(reader.checkpoint(), _TEXT, _FRESH)

    @blueprint.get("/vkey")
    def vkey() -> Response:
        return _answer(f"{key}\n".encode(), _TEXT, _FRESH)

    @blueprint.get("/tile/<path:name>")
    def tile(name: str) -> Response:
        wanted = parse_tile(name)
        data = reader.tile(wanted)
        if wanted.level is None:
            return _compressed(data)
        return _answer(data, _BYTES, _IMMUTABLE)

    @blueprint.get("/proof/<certificate_id>")
    def proof(certificate_id: str) -> Response:
        return _answer(reader.proof(certificate_id).encode(), _TEXT, _FRESH)

    @blueprint.errorhandler(CaError)
    def refused(error: CaError) -> Response:
        text = f"{error.detail}\n" if error.kind is not Kind.INTERNAL else "internal error\n"
        response = _answer(text.encode(), _TEXT, "no-store")
        response.status_code = _STATUS[error.kind]
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    return blueprint


def _compressed(data: bytes) -> Response:
    """Entries are text that repeats itself; those who can take gzip get a fifth of the bytes."""
    accepts_gzip = bool(request.accept_encodings["gzip"])
    response = _answer(gzip.compress(data, mtime=0) if accepts_gzip else data, _BYTES, _IMMUTABLE)
    response.headers["Vary"] = "Accept-Encoding"
    if accepts_gzip:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _answer(data: bytes, content_type: str, caching: str) -> Response:
    response = Response(data, content_type=content_type)
    response.headers["Cache-Control"] = caching
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
