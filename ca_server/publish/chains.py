"""Our own certificates for everybody: trust anchors, intermediates, the issuers that AIA points to.

Cross and link certificates that ceremonies brought are found by their name where authorities are by their id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from cryptography import x509
from flask import Blueprint, Response, request

from ca_server.core.errors import Kind, refuse
from ca_server.services.chains import to_pem
from ca_server.services.context import Context
from ca_server.store.authorities import StoredAuthority, find_authority, list_authorities
from ca_server.store.ceremonies import find_certificate

PEM = "application/pem-certificate-chain"  # RFC 8555 §9.1
DER = "application/pkix-cert"  # RFC 2585 §4.1
MAX_AGE = 3600


def chains_blueprint(context: Context) -> Blueprint:
    """Roots, intermediates and single issuers; plain HTTP is enough, because certificates are signed."""
    blueprint = Blueprint("chains", __name__)

    @blueprint.get("/roots.pem")
    def roots() -> Response:
        return _answer(_pem(_authorities(context, lambda each: each.issuer_id is None)), PEM)

    @blueprint.get("/intermediates.pem")
    def intermediates() -> Response:
        return _answer(_pem(_authorities(context, lambda each: each.issuer_id is not None)), PEM)

    @blueprint.get("/aia/<authority_id>.cer")
    def issuer(authority_id: str) -> Response:
        # What cannot be an id is not asked of the database: PostgreSQL refuses NUL in text.
        with context.database.read() as connection:
            known = authority_id.isprintable()
            found = find_authority(connection, authority_id) if known else None
            crossed = find_certificate(connection, authority_id) if known and found is None else None
        if found is not None:
            return _answer(found.certificate_der, DER)
        if crossed is None:
            raise refuse(Kind.NOT_FOUND, "INVENTORY-UNKNOWN", "there is no such authority")
        return _answer(crossed.der, DER)

    return blueprint


def _authorities(context: Context, wanted: Callable[[StoredAuthority], bool]) -> list[StoredAuthority]:
    with context.database.read() as connection:
        return [each for each in list_authorities(connection) if wanted(each)]


def _pem(authorities: Iterable[StoredAuthority]) -> bytes:
    return "".join(
        to_pem(x509.load_der_x509_certificate(each.certificate_der)) for each in authorities
    ).encode("ascii")


def _answer(data: bytes, media_type: str) -> Response:
    response = Response(data, mimetype=media_type)
    response.set_etag(hashlib.sha256(data).hexdigest())
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE}"
    response.make_conditional(request)
    return response
