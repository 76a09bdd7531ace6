"""Requests that wait for officers: how they begin to wait, what asking again is told, how the wait ends."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from ca_server.core.approvals import ApprovalRules, Decision
from ca_server.core.audit.record import Actor
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.profile import Profile
from ca_server.services.context import Context, process_actor
from ca_server.store import approvals
from ca_server.store.approvals import RequestTaken
from ca_server.store.issuance import StoredIdempotencyKey, StoredRequest, insert_pending_request
from ca_server.store.requests import PastRequest

# Requests that the worker ends in one go; it comes again.
BATCH = 100
# Seconds after which a requester is told to try again who has as many requests waiting as may be.
RETRY_AFTER = 3600

GIVEN_UP = "this request was given up; send it again with a new Idempotency-Key"


class ApprovalPending(CaError):
    """A request waits for officers: the same request, sent again later, gets the certificate."""

    def __init__(self, request_id: str, retry_after: int) -> None:
        detail = f"request {request_id} waits for the approval of officers; send the same request again later"
        super().__init__(
            Kind.NOT_READY,
            detail,
            violations=(Violation("APPROVAL-PENDING", detail),),
            retry_after=retry_after,
        )
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stored request that waits, and how many have approved it by now."""

    request: PastRequest
    approvals: int


def begin(
    context: Context,
    rules: ApprovalRules,
    profile: Profile,
    actor: Actor,
    request: StoredRequest,
    key: StoredIdempotencyKey,
) -> None:
    """Keep a request until officers have decided.

    Raises:
        CaError: rate_limited, `APPROVAL-LIMIT`, too many of this requester's wait; unavailable.
        BrokenRule: the idempotency key was taken meanwhile.
    """
    event = context.event(
        "approval.requested",
        actor,
        {
            "request": request.id,
            "profile": profile.name,
            "policy_sha256": profile.sha256,
            "approvals": profile.requesters.approvals,
            "csr_sha256": hashlib.sha256(request.csr_der).hexdigest(),
            **{word: told for word, told in request.requested.items() if word == "secret"},
        },
    )
    with context.database.write() as unit:
        if approvals.count_pending(unit.connection, request.principal_id) >= rules.max_pending:
            raise _too_many(rules)
        insert_pending_request(unit, request, key)
        unit.commit(event)


def is_overdue(request: PastRequest, rules: ApprovalRules, now: datetime) -> bool:
    """Whether a request has waited for too long."""
    return now - from_epoch(request.created_at) > rules.lifetime


def overdue() -> CaError:
    """What whoever waited for too long is told."""
    detail = "nobody approved this request in time; send a new one, with a new Idempotency-Key or a new CSR"
    return refuse(Kind.FORBIDDEN, "APPROVAL-EXPIRED", detail)


def ended(context: Context, request: PastRequest) -> CaError:
    """What asking again is told once a request waits no more and there is no certificate.

    Raises:
        CaError: unavailable.
    """
    if request.status == "rejected":
        with context.database.read() as connection:
            found = approvals.list_approvals(connection, request.id)
        comment = next((each.comment for each in found if each.decision == Decision.REJECTED), "")
        detail = "an officer rejected this request" + (f": {comment}" if comment else "")
        return refuse(Kind.FORBIDDEN, "APPROVAL-REJECTED", detail)
    if request.status == "refused":
        kind = Kind.FORBIDDEN if "APPROVAL-EXPIRED" in request.rule_ids else Kind.POLICY_REFUSED
        violations = tuple(Violation(rule_id, request.detail) for rule_id in request.rule_ids)
        return CaError(kind, request.detail, violations=violations)
    return CaError(Kind.CONFLICT, GIVEN_UP)


def refuse_overdue(context: Context, rules: ApprovalRules) -> None:
    """End what has waited for too long; the worker does this from time to time.

    Raises:
        CaError: unavailable.
    """
    before = to_epoch(context.clock.now() - rules.lifetime)
    with context.database.read() as connection:
        found = approvals.pending_before(connection, before, limit=BATCH)
    refusal = overdue()
    for request in found:
        data = {
            "request": request.id,
            "profile": request.profile,
            "policy_sha256": "",
            "rule_ids": list(refusal.rule_ids),
        }
        event = context.event("issue.refused", process_actor("worker"), data, outcome="failure")
        # Whoever was quicker ended the wait for a reason of their own.
        with suppress(RequestTaken), context.database.write() as unit:
            approvals.refuse_pending(unit, request.id, refusal)
            unit.commit(event)


def _too_many(rules: ApprovalRules) -> CaError:
    detail = f"{rules.max_pending} requests of this requester wait for approval already"
    violation = Violation("APPROVAL-LIMIT", detail)
    return CaError(Kind.RATE_LIMITED, detail, violations=(violation,), retry_after=RETRY_AFTER)
