"""`/authorities`: our own certificates, so that clients know whom they deal with."""

from __future__ import annotations

from cryptography import x509
from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import AuthorityPath
from ca_server.rest.replies import PREFIX, reply
from ca_server.rest.schemas import AuthorityList, AuthorityView
from ca_server.rest.services import principal, services
from ca_server.services import inventory
from ca_server.services.chains import to_pem
from ca_server.store.authorities import StoredAuthority

blueprint = APIBlueprint("authorities", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


@blueprint.get("/authorities", responses={200: AuthorityList, **responses()})
def list_authorities() -> Response:
    """Every authority, roots too."""
    found = inventory.list_authorities(services().context, principal())
    return reply(AuthorityList(items=[_view(record) for record in found]))


@blueprint.get("/authorities/<authority_id>", responses={200: AuthorityView, **responses(404)})
def show_authority(path: AuthorityPath) -> Response:
    """One authority."""
    return reply(_view(inventory.find_authority(services().context, principal(), path.authority_id)))


def _view(record: StoredAuthority) -> AuthorityView:
    certificate = x509.load_der_x509_certificate(record.certificate_der)
    return AuthorityView(
        id=record.id,
        issuer=record.issuer_id,
        role=record.role,
        state=record.state,
        subject=certificate.subject.rfc4514_string(),
        serial_number=record.serial_number,
        signature_algorithm=record.signature_algorithm,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        pem=to_pem(certificate),
    )
