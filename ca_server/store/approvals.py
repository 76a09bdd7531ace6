"""What officers decided, and the requests that wait for it; what was decided is never changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update

from ca_server.core.errors import CaError
from ca_server.store.est_tables import approval
from ca_server.store.prepared import Prepared
from ca_server.store.requests import IS_PENDING, PastRequest, past_requests
from ca_server.store.tables import audit_event, certificate_request
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork


class RequestTaken(BrokenRule):
    """A request does not wait (any more): it was rejected, ended, or another retry took it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What one officer said of one request; `decision` is `approved` or `rejected`."""

    request_id: str
    principal_id: str
    decision: str
    comment: str
    decided_at: int
    event_id: str


@dataclass(frozen=True, slots=True)
class LoggedApproval:
    """An approval with the event that the log has of it."""

    approval: Approval
    body: bytes
    leaf_hash: bytes


_APPROVAL_COLUMNS = tuple(Approval.__dataclass_fields__)
_MOVE = Prepared(
    update(certificate_request)
    .where(certificate_request.c.id == bindparam("request"), IS_PENDING)
    .values(status=bindparam("outcome"), rule_ids=bindparam("rules"), detail=bindparam("words"))
)


def take_pending(unit: UnitOfWork, request_ids: list[str]) -> None:
    """T1 of requests that waited: they wait no more. In the order of ids, so that batches wait in no ring.

    Raises:
        RequestTaken: one of them does not wait (any more); the caller leaves without a commit.
    """
    for request_id in sorted(request_ids):
        if not _move(unit, request_id, "intent"):
            raise RequestTaken


def reject_pending(unit: UnitOfWork, request_id: str) -> None:
    """End the wait of a request by an officer's word.

    Raises:
        RequestTaken: it does not wait (any more); the caller leaves without a commit.
    """
    if not _move(unit, request_id, "rejected"):
        raise RequestTaken


def refuse_pending(unit: UnitOfWork, request_id: str, refusal: CaError) -> None:
    """End the wait of a request by the rules that it breaks by now.

    Raises:
        RequestTaken: it does not wait (any more); the caller leaves without a commit.
    """
    rule_ids = json.dumps(sorted(set(refusal.rule_ids)))
    if not _move(unit, request_id, "refused", rule_ids, refusal.detail):
        raise RequestTaken


def hold_pending(unit: UnitOfWork, request_id: str) -> None:
    """Keep a request waiting until this transaction ends, so that no decision comes after its end.

    Raises:
        RequestTaken: it does not wait (any more).
    """
    query = select(certificate_request.c.id).where(certificate_request.c.id == request_id, IS_PENDING)
    if unit.connection.execute(query.with_for_update()).first() is None:
        raise RequestTaken


def insert_approval(unit: UnitOfWork, new: Approval) -> None:
    """Store what an officer decided; the caller's commit brings its event.

    Raises:
        BrokenRule: the officer has decided on this request before.
    """
    unit.connection.execute(insert(approval).values(**asdict(new)))


def list_approvals(connection: Connection, request_id: str) -> list[Approval]:
    """What was decided on a request, oldest first."""
    query = _select().where(approval.c.request_id == request_id)
    rows = connection.execute(query.order_by(approval.c.decided_at, approval.c.principal_id))
    return [_approval(row) for row in rows]


def logged_approvals(connection: Connection, request_id: str) -> list[LoggedApproval]:
    """What was decided on a request, each with its event."""
    query = (
        _select()
        .add_columns(audit_event.c.body, audit_event.c.leaf_hash)
        .join(audit_event, audit_event.c.event_id == approval.c.event_id)
        .where(approval.c.request_id == request_id)
    )
    return [
        LoggedApproval(_approval(row), bytes(row.body), bytes(row.leaf_hash))
        for row in connection.execute(query)
    ]


def count_approved(connection: Connection) -> dict[str, int]:
    """How many approved each request that anybody approved."""
    query = (
        select(approval.c.request_id, func.count())
        .where(approval.c.decision == "approved")
        .group_by(approval.c.request_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def count_pending(connection: Connection, principal_id: str) -> int:
    """How many requests of one requester wait."""
    query = select(func.count()).where(IS_PENDING, certificate_request.c.principal_id == principal_id)
    return connection.execute(query).scalar_one()


def pending_before(connection: Connection, created_at: int, *, limit: int) -> list[PastRequest]:
    """Requests that have waited since before that second."""
    return past_requests(connection, IS_PENDING, certificate_request.c.created_at < created_at, limit=limit)


def _move(unit: UnitOfWork, request_id: str, status: str, rule_ids: str = "[]", detail: str = "") -> bool:
    values = {"request": request_id, "outcome": status, "rules": rule_ids, "words": detail}
    return _MOVE.run(unit.connection, values) == 1


def _select() -> Select[Any]:
    return select(*(approval.c[name] for name in _APPROVAL_COLUMNS))


def _approval(row: Row[Any]) -> Approval:
    return Approval(**{name: getattr(row, name) for name in _APPROVAL_COLUMNS})
