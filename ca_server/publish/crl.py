"""CRLs for everybody: the newest one of each authority, cached for a while but never past its end."""

from __future__ import annotations

from flask import Blueprint, Response, request

from ca_server.core.clock import from_epoch, to_epoch
from ca_server.services.context import Context
from ca_server.services.published import find_crl, read_crl
from ca_server.store.crls import CrlRecord

DER = "application/pkix-crl"  # RFC 2585 §4.2
# A cache may keep a CRL this long, so that a revocation is not hidden until nextUpdate.
MAX_AGE = 60


def crl_blueprint(context: Context) -> Blueprint:
    """`/crl/{authority_id}.crl`; plain HTTP is enough, because CRLs are signed."""
    blueprint = Blueprint("crl", __name__)

    @blueprint.get("/crl/<authority_id>.crl")
    def crl(authority_id: str) -> Response:
        # Whoever has the newest one needs no bytes, and a CRL can have many.
        unchanged = _describe(Response(), find_crl(context, authority_id), context)
        unchanged.make_conditional(request)
        if unchanged.status_code == 304:
            return unchanged
        record, der = read_crl(context, authority_id)
        return _describe(Response(der, content_type=DER), record, context)

    return blueprint


def _describe(response: Response, record: CrlRecord, context: Context) -> Response:
    left = record.next_update - to_epoch(context.clock.now())
    response.set_etag(record.sha256)
    response.last_modified = from_epoch(record.this_update)
    response.headers["Cache-Control"] = f"public, max-age={max(0, min(MAX_AGE, left))}, must-revalidate"
    return response
