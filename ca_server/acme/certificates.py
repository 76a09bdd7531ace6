"""Certificates: fetched, revoked, and asked when to renew (RFC 8555 §7.4.2, §7.6, RFC 9773)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from cryptography.x509.oid import AuthorityInformationAccessOID
from flask import Blueprint, Response, request

from ca_server.acme.payloads import RevocationPayload, read_payload
from ca_server.acme.replies import add_link, empty_reply, reply
from ca_server.acme.requests import account, payload, signed
from ca_server.acme.services import services
from ca_server.acme.urls import ROOT, directory
from ca_server.core.base64url import decode_base64url
from ca_server.core.clock import to_text
from ca_server.core.errors import Kind, refuse
from ca_server.services.acme.certificates import read_certificate
from ca_server.services.acme.renewal import renewal_info
from ca_server.services.acme.revocation import revoke_by_account, revoke_by_key

PEM_CHAIN = "application/pem-certificate-chain"  # RFC 8555 §9.1
DER = "application/pkix-cert"  # RFC 2585 §4.1
PKCS7 = "application/pkcs7-mime"  # RFC 5751 §3.2.1

blueprint = Blueprint("certificates", __name__, url_prefix=ROOT)


@blueprint.post("/certificate/<id:certificate_id>")
def show_certificate(certificate_id: str) -> Response:
    """A certificate with its chain, leaf first."""
    return _answer(certificate_id, None)


@blueprint.post("/certificate/<id:certificate_id>/<int(max=99):number>")
def show_alternate(certificate_id: str, number: int) -> Response:
    """The same certificate with another chain above it."""
    return _answer(certificate_id, number)


@blueprint.post("/revoke-cert")
def revoke() -> Response:
    """Revoke for an account, or for whoever holds the certificate's own key."""
    context, asked, proven = services().context, read_payload(RevocationPayload, payload()), signed()
    der = decode_base64url(asked.certificate)
    if not der:
        raise refuse(
            Kind.MALFORMED, "ACME-PAYLOAD", "certificate is base64url of DER", pointer="/certificate"
        )
    if proven.account is None:
        revoke_by_key(context, proven.jwk, der, asked.reason)
    else:
        revoke_by_account(context, proven.account, der, asked.reason)
    return empty_reply(200)


@blueprint.get("/renewal-info/<certid>")
def renewal_information(certid: str) -> Response:
    """When to renew; everybody may ask, unsigned."""
    found = renewal_info(services().context, certid)
    body: dict[str, object] = {"suggestedWindow": {"start": to_text(found.start), "end": to_text(found.end)}}
    if found.explanation_url is not None:
        body["explanationURL"] = found.explanation_url
    response = reply(body)
    response.headers["Retry-After"] = str(found.retry_after)
    return response


def _answer(certificate_id: str, alternate: int | None) -> Response:
    held = services()
    pem, count = read_certificate(held.context, held.chains, account(), certificate_id, alternate)
    response = _render(pem, request.accept_mimetypes.best_match([PEM_CHAIN, DER, PKCS7], PEM_CHAIN))
    response.headers["Vary"] = "Accept"
    known = directory().url("certificate", certificate_id)
    ways = [known, *(f"{known}/{number}" for number in range(1, count + 1))]
    for number, url in enumerate(ways):
        if number != (alternate or 0):
            add_link(response, url, "alternate")
    return response


def _render(pem: str, media_type: str) -> Response:
    """The chain in the form that the client accepts; unless it says otherwise, and exactly, that is PEM."""
    if media_type == PEM_CHAIN:
        return Response(pem, mimetype=PEM_CHAIN)
    chain = x509.load_pem_x509_certificates(pem.encode("ascii"))
    if media_type == PKCS7:
        response = Response(serialize_certificates(chain, Encoding.DER))
        response.content_type = f"{PKCS7}; smime-type=certs-only"
        return response
    response = Response(chain[0].public_bytes(Encoding.DER), mimetype=DER)
    for url in _issuer_urls(chain[0]):
        # A form that holds one certificate leads to the next (RFC 8555 §7.4.2).
        add_link(response, url, "up")
    return response


def _issuer_urls(certificate: x509.Certificate) -> list[str]:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return [
        each.access_location.value
        for each in access
        if each.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    ]
