"""Officers decide on requests that wait: each once, never on their own, and one rejection ends a request.

Their own are also those asked for with a credential that they made, or with a certificate that came of one:
else whoever makes enrolment secrets would approve what they enrol themselves.

Deciding issues nothing. Once enough have approved, the requester asks again and the gate judges anew, under
the policy of then; see `services.issue`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ca_server.core.approvals import ApprovalRules, Decision
from ca_server.core.audit.record import leaf_hash, parse_event
from ca_server.core.authorization import Principal
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.roles import ROLES, Action
from ca_server.services import inventory
from ca_server.services.access import require_permission
from ca_server.services.context import Context, actor_of
from ca_server.store import approvals
from ca_server.store.approvals import Approval, LoggedApproval, RequestTaken
from ca_server.store.inventory import RequestRecord
from ca_server.store.requesters import LoggedCredential, Requesters, find_requesters
from ca_server.store.requests import PastRequest, find_past_request
from ca_server.store.unit_of_work import BrokenRule


def decide_request(
    context: Context,
    principal: Principal,
    rules: ApprovalRules,
    request_id: str,
    decision: Decision,
    comment: str,
) -> Approval:
    """Approve a request that waits, or reject it, which ends it whatever others say.

    The comment is shown to the requester.

    Raises:
        CaError: not_found, `INVENTORY-UNKNOWN`; forbidden, `ACCESS-ROLE`, `APPROVAL-OWN`; conflict,
            `APPROVAL-CLOSED`, `APPROVAL-EXPIRED`, `APPROVAL-DECIDED`; unavailable.
    """
    require_permission(principal, Action.DECIDE_REQUEST)
    request = inventory.find_request(context, principal, request_id)
    now = context.clock.now()
    with context.database.read() as connection:
        requesters = find_requesters(connection, find_past_request(connection, request_id))
    if principal.id in _own(requesters):
        detail = "nobody decides on a request of their own, or one made with a credential that they made"
        raise refuse(Kind.FORBIDDEN, "APPROVAL-OWN", detail)
    if request.status != "pending":
        raise _closed(f"this request does not wait: it is {request.status}")
    if now - request.created_at > rules.lifetime:
        raise refuse(Kind.CONFLICT, "APPROVAL-EXPIRED", "this request has waited for too long")
    event = context.event(
        "approval.decided",
        actor_of(principal),
        {
            "request": request_id,
            "profile": request.profile,
            "decision": decision.value,
            "csr_sha256": hashlib.sha256(request.csr_der).hexdigest(),
        },
    )
    approval = Approval(request_id, principal.id, decision.value, comment, to_epoch(now), event.event_id)
    try:
        with context.database.write() as unit:
            if decision is Decision.REJECTED:
                approvals.reject_pending(unit, request_id)
            else:
                approvals.hold_pending(unit, request_id)
            approvals.insert_approval(unit, approval)
            unit.commit(event)
    except RequestTaken as error:
        raise _closed("this request does not wait any more") from error
    except BrokenRule as error:
        detail = "you have decided on this request before; a decision stays"
        raise refuse(Kind.CONFLICT, "APPROVAL-DECIDED", detail) from error
    return approval


def list_approvals(context: Context, request: RequestRecord) -> list[Approval]:
    """What was decided on a request that the caller was let see, oldest first.

    Raises:
        CaError: unavailable.
    """
    with context.database.read() as connection:
        return approvals.list_approvals(connection, request.id)


def count_approvals(request: PastRequest, found: Sequence[LoggedApproval], requesters: Requesters) -> int:
    """How many approved a request: different principals, none of them a requester, by the log's own word.

    A row that the log does not bear out counts for nothing, as if an insider had put it there.
    """
    own = _own(requesters)
    approved = {each.approval.principal_id for each in found if _counts(request, each)}
    return 0 if None in own else len(approved - own)


def _own(requesters: Requesters) -> frozenset[str | None]:
    """Whose own request it is: everybody's behind it, and theirs who made the credentials used for it.

    With None among them somebody is unknown, as the log does not bear out who made a credential.
    """
    return requesters.principals | {_maker(each) for each in requesters.credentials}


def _maker(found: LoggedCredential) -> str | None:
    leaf = _leaf(found.body, found.leaf_hash)
    tells = leaf.get("kind") == f"{found.word}.created" and leaf["data"].get(found.word) == found.id
    return str(leaf["actor"]["id"]) if tells else None


def _counts(request: PastRequest, found: LoggedApproval) -> bool:
    leaf = _leaf(found.body, found.leaf_hash)
    told = {
        "request": request.id,
        "profile": request.profile,
        "decision": Decision.APPROVED.value,
        "csr_sha256": hashlib.sha256(request.csr_der).hexdigest(),
    }
    return bool(
        leaf.get("kind") == "approval.decided"
        and told.items() <= leaf["data"].items()
        and found.approval.decision == Decision.APPROVED
        and leaf["actor"]["id"] == found.approval.principal_id
        and leaf["actor"]["role"] in ROLES[Action.DECIDE_REQUEST]
    )


def _leaf(body: bytes, digest: bytes) -> dict[str, Any]:
    """An event of the log; empty where it is not what was hashed."""
    return parse_event(body) if leaf_hash(body) == digest else {}


def _closed(detail: str) -> CaError:
    return refuse(Kind.CONFLICT, "APPROVAL-CLOSED", detail)
