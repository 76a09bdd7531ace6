"""`/certificates/{id}/revocation`: a certificate is revoked, put on hold, or released from it."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import CertificatePath
from ca_server.rest.replies import PREFIX, reply
from ca_server.rest.schemas import NewRevocation, RevocationView
from ca_server.rest.services import principal, services
from ca_server.services import inventory
from ca_server.services.revoke import release_certificate, revoke_certificate

blueprint = APIBlueprint("revocation", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


@blueprint.post(
    "/certificates/<certificate_id>/revocation",
    responses={200: RevocationView, **responses(404, 409, 413, 415)},
)
def revoke(path: CertificatePath, body: NewRevocation) -> Response:
    """Revoke a certificate for a reason of RFC 5280 §5.3.1; `certificateHold` can be taken back."""
    context, who = services().context, principal()
    revoke_certificate(context, who, path.certificate_id, body.reason, body.invalidity_date)
    record = inventory.find_certificate(context, who, path.certificate_id)
    return reply(
        RevocationView(
            certificate_id=record.id,
            serial_number=record.serial_number,
            status=record.status(context.clock.now()),
            revoked_at=record.revoked_at,
            reason=record.revocation_reason,
        )
    )


@blueprint.delete("/certificates/<certificate_id>/revocation", responses={204: None, **responses(404, 409)})
def release(path: CertificatePath) -> Response:
    """Take a certificate off hold; a revocation for another reason is for ever."""
    release_certificate(services().context, principal(), path.certificate_id)
    return Response(status=204)
