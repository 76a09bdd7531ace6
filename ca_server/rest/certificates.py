"""`/certificates`: what was issued, as JSON, PEM, DER or PKCS#7, whichever the client accepts."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from werkzeug.exceptions import NotAcceptable

from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import CertificatePath, CertificateQuery
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.schemas import CertificateDetail, CertificateItem, CertificatePage
from ca_server.rest.services import principal, services
from ca_server.services import inventory
from ca_server.store.inventory import CertificateFilter, CertificateRecord, Sort

blueprint = APIBlueprint("certificates", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)

JSON = "application/json"
PEM_CHAIN = "application/pem-certificate-chain"  # RFC 8555 §9.1
PEM_FILE = "application/x-pem-file"
DER = "application/pkix-cert"  # RFC 2585 §4.1
PKCS7 = "application/pkcs7-mime"  # RFC 5751 §3.2.1

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
# Its nested types are components already, because the list of certificates has them too.
_DETAIL: dict[str, Any] = CertificateDetail.model_json_schema(
    ref_template="#/components/schemas/{model}", mode="serialization"
)
_DETAIL.pop("$defs")
_SHOWN: dict[str, Any] = {
    "description": "The certificate, in the form that the client accepts.",
    "content": {
        JSON: {"schema": _DETAIL},
        PEM_CHAIN: _TEXT,
        PEM_FILE: _TEXT,
        DER: _BINARY,
        PKCS7: _BINARY,
    },
}


@blueprint.get("/certificates", responses={200: CertificatePage, **responses()})
def list_certificates(query: CertificateQuery) -> Response:
    """Certificates, newest first unless asked otherwise; a requester sees its own."""
    wanted = CertificateFilter(
        profile=query.profile,
        authority_id=query.authority,
        serial_number=query.serial_number,
        status=query.status,
        subject=query.subject,
        name=query.name,
        expires_before=query.expires_before,
        expires_after=query.expires_after,
    )
    page = inventory.Page(query.limit + 1, query.sort, _position(query.cursor))
    found = inventory.list_certificates(services().context, principal(), wanted, page)
    rows, next_cursor = split_page(found, query.limit, lambda row: _cursor(row, query.sort))
    return page_reply(
        CertificatePage(items=[CertificateItem(**_fields(row)) for row in rows], next_cursor=next_cursor),
        next_cursor,
    )


@blueprint.get("/certificates/<certificate_id>", responses={200: _SHOWN, **responses(404, 406)})
def show_certificate(path: CertificatePath) -> Response:
    """One certificate: JSON, its PEM chain, its DER, or a PKCS#7 of the chain, by `Accept`."""
    accepted = request.accept_mimetypes
    media_type = accepted.best_match([JSON, PEM_CHAIN, PEM_FILE, DER, PKCS7]) if accepted else JSON
    if media_type is None:
        raise NotAcceptable
    record = inventory.find_certificate(services().context, principal(), path.certificate_id)
    response = _render(record, media_type)
    response.headers["Vary"] = "Accept"
    return response


def _render(record: CertificateRecord, media_type: str) -> Response:
    chains = services().chains
    if media_type in {PEM_CHAIN, PEM_FILE}:
        return Response(chains.pem(record.der, record.authority_id), mimetype=media_type)
    if media_type == DER:
        return Response(record.der, mimetype=DER)
    if media_type == PKCS7:
        chain = [x509.load_der_x509_certificate(record.der), *chains.above(record.authority_id)]
        response = Response(serialize_certificates(chain, Encoding.DER))
        response.content_type = f"{PKCS7}; smime-type=certs-only"
        return response
    return reply(CertificateDetail(**_fields(record), pem_chain=chains.pem(record.der, record.authority_id)))


def _fields(record: CertificateRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "serial_number": record.serial_number,
        "authority": record.authority_id,
        "profile": record.profile,
        "protocol": record.protocol,
        "principal": record.principal_id,
        "status": record.status(services().context.clock.now()),
        "subject": record.subject,
        "names": list(record.names),
        "spki_sha256": record.spki_sha256,
        "not_before": record.not_before,
        "not_after": record.not_after,
        "revoked_at": record.revoked_at,
        "revocation_reason": record.revocation_reason,
    }


def _cursor(record: CertificateRecord, sort: Sort) -> str:
    by_end = sort in {Sort.EXPIRES_FIRST, Sort.EXPIRES_LAST}
    return f"{int(record.not_after.timestamp()) if by_end else record.number}.{record.number}"


def _position(cursor: str | None) -> tuple[int, int] | None:
    if cursor is None:
        return None
    value, _, number = cursor.partition(".")
    return int(value), int(number)
