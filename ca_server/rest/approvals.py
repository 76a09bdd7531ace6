"""`/certificate-requests/{id}/approvals`: officers decide on a request that waits for them."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import BeforeValidator, StringConstraints

from ca_server.core.approvals import Decision
from ca_server.core.clock import from_epoch
from ca_server.core.errors import CaError
from ca_server.core.roles import Action
from ca_server.rest.authenticate import admit, record_refusal
from ca_server.rest.fields import Incoming
from ca_server.rest.problems import responses
from ca_server.rest.queries import RecordPath
from ca_server.rest.replies import PREFIX, reply
from ca_server.rest.schemas import ApprovalView
from ca_server.rest.services import principal, services
from ca_server.services.approvals import decide_request
from ca_server.services.context import actor_of
from ca_server.store.approvals import Approval

blueprint = APIBlueprint("approvals", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


def _decision(value: object) -> object:
    """The word of a decision; a strict model takes no text for an enumeration."""
    return Decision(value) if isinstance(value, str) and value in list(Decision) else value


class NewApproval(Incoming):
    """What an officer decides, and why; the requester is shown the comment of a rejection."""

    decision: Annotated[Decision, BeforeValidator(_decision)]
    comment: Annotated[str, StringConstraints(pattern=r"^[ -~]{0,253}$")] = ""


@blueprint.post(
    "/certificate-requests/<record_id>/approvals",
    responses={201: ApprovalView, **responses(404, 409, 413, 415)},
)
def create_approval(path: RecordPath, body: NewApproval) -> Response:
    """Approve a request that waits, or reject it for good; each officer once, and never on their own."""
    found = services()
    try:
        decided = decide_request(
            found.context, principal(), found.policies.approvals, path.record_id, body.decision, body.comment
        )
    except CaError as error:
        record_refusal(error, Action.DECIDE_REQUEST, actor_of(principal()))
        raise
    return reply(view_of(decided), 201)


def view_of(approval: Approval) -> ApprovalView:
    """A decision as it is shown."""
    return ApprovalView(
        principal=approval.principal_id,
        decision=approval.decision,
        comment=approval.comment,
        decided_at=from_epoch(approval.decided_at),
    )
