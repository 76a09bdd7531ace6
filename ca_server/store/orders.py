"""Orders as they are kept (RFC 8555 §7.1.3), and the moves that issuance makes with them.

Each move is one conditional update in the transaction of what it goes with: claimed with the intent,
completed with the certificate, failed with the abandonment. Whoever comes second moves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select, update

from ca_server.core.acme.resources import Order, OrderName, Problem, Status
from ca_server.core.acme.states import authorization_status, order_status
from ca_server.core.identifiers import IdentifierType, make_identifier
from ca_server.store.acme_tables import (
    acme_account,
    acme_authorization,
    acme_finalization,
    acme_order,
    acme_order_authorization,
    external_account_key,
)
from ca_server.store.authorizations import problem_text, read_problem
from ca_server.store.prepared import Prepared
from ca_server.store.tables import certificate_request
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """A new order as its row; `identifiers` is the JSON that `names_text` makes."""

    id: str
    account_id: str
    profile: str
    status: str
    identifiers: str
    not_before: int | None
    not_after: int | None
    created_at: int
    expires_at: int
    replaces: str | None
    counted: int
    event_id: str


@dataclass(frozen=True, slots=True)
class Finalization:
    """One request that was made to finalize an order, as it ended."""

    request_id: str
    created_at: int
    status: str
    rule_ids: tuple[str, ...]
    detail: str
    csr_der: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The newest finalize that was refused before the gate."""

    at: int
    detail: str
    rule_ids: tuple[str, ...]


class OrderTaken(BrokenRule):
    """The order is not ready (any more): somebody else finalizes it, or an authorization has ended."""


_ORDER_COLUMNS = tuple(StoredOrder.__dataclass_fields__)
_INSERT_ORDER = Prepared(insert(acme_order), _ORDER_COLUMNS)
_INSERT_LINK = Prepared(insert(acme_order_authorization), ("order_id", "authorization_id"))
_INSERT_FINALIZATION = Prepared(insert(acme_finalization), ("request_id", "order_id"))
_FIND_ORDER = Prepared(select(acme_order).where(acme_order.c.id == bindparam("order")))
_FIND_STATES = Prepared(
    select(acme_authorization.c.id, acme_authorization.c.status, acme_authorization.c.expires_at)
    .join(
        acme_order_authorization,
        acme_order_authorization.c.authorization_id == acme_authorization.c.id,
    )
    .where(acme_order_authorization.c.order_id == bindparam("order"))
    .order_by(acme_authorization.c.id)
)
_UNPROVEN = (
    select(acme_authorization.c.id)
    .join(
        acme_order_authorization,
        acme_order_authorization.c.authorization_id == acme_authorization.c.id,
    )
    .where(
        acme_order_authorization.c.order_id == acme_order.c.id,
        (acme_authorization.c.status != bindparam("proven"))
        | (acme_authorization.c.expires_at <= bindparam("now"))
        | acme_authorization.c.evidence_number.is_(None),
    )
)
_PROVEN = select(acme_order_authorization.c.order_id).where(
    acme_order_authorization.c.order_id == acme_order.c.id
)
_TAKEN_BACK = select(external_account_key.c.id).where(
    external_account_key.c.id == acme_account.c.external_account_key_id,
    external_account_key.c.revoked_at.is_not(None),
)
_ACTIVE = select(acme_account.c.id).where(
    acme_account.c.id == acme_order.c.account_id,
    acme_account.c.status == bindparam("active"),
    acme_account.c.key_thumbprint == bindparam("thumbprint"),
    ~exists(_TAKEN_BACK),
)
_CLAIM = Prepared(
    update(acme_order)
    .where(
        acme_order.c.id == bindparam("order"),
        acme_order.c.status == bindparam("unclaimed"),
        acme_order.c.expires_at > bindparam("now"),
        exists(_PROVEN),
        ~exists(_UNPROVEN),
        exists(_ACTIVE),
    )
    .values(status=bindparam("claimed"))
)
_COMPLETE = Prepared(
    update(acme_order)
    .where(
        acme_order.c.id
        == select(acme_finalization.c.order_id)
        .where(acme_finalization.c.request_id == bindparam("request"))
        .scalar_subquery(),
        acme_order.c.status == bindparam("claimed"),
    )
    .values(status=bindparam("done"), certificate_id=bindparam("certificate"))
)


_OF_ORDER = (
    acme_finalization.c.order_id == bindparam("order"),
    certificate_request.c.id == acme_finalization.c.request_id,
)
_FINALIZED_WITH = Prepared(
    select(acme_finalization.c.request_id).where(
        *_OF_ORDER,
        certificate_request.c.status != bindparam("refused"),
        certificate_request.c.csr_der == bindparam("csr"),
    )
)
_COUNT_REFUSED = Prepared(
    select(func.count())
    .select_from(acme_finalization)
    .where(*_OF_ORDER, certificate_request.c.status == bindparam("refused"))
)


def insert_order(unit: UnitOfWork, order: StoredOrder, authorization_ids: Sequence[str]) -> None:
    """Store an order with the authorizations that it needs.

    Raises:
        BrokenRule: another order replaces the same certificate.
    """
    _INSERT_ORDER.run(unit.connection, {name: getattr(order, name) for name in _ORDER_COLUMNS})
    _INSERT_LINK.run_many(
        unit.connection, [{"order_id": order.id, "authorization_id": each} for each in authorization_ids]
    )


def find_order(connection: Connection, order_id: str, now: int) -> Order | None:
    """An order with its status at this second."""
    row = _FIND_ORDER.first(connection, {"order": order_id})
    if row is None:
        return None
    return _order(dict(zip(acme_order.c.keys(), row, strict=True)), connection, now)


def list_order_ids(
    connection: Connection, account_id: str, *, after: str | None, limit: int, now: int
) -> list[str]:
    """The orders of an account that are not invalid, oldest first (RFC 8555 §7.1.2.1)."""
    gone = (
        select(acme_authorization.c.id)
        .join(
            acme_order_authorization,
            acme_order_authorization.c.authorization_id == acme_authorization.c.id,
        )
        .where(
            acme_order_authorization.c.order_id == acme_order.c.id,
            acme_authorization.c.status.not_in([Status.PENDING.value, Status.VALID.value])
            | (acme_authorization.c.expires_at <= now),
        )
    )
    alive = (acme_order.c.expires_at > now) & ~exists(gone)
    query = select(acme_order.c.id).where(
        acme_order.c.account_id == account_id,
        acme_order.c.status != Status.INVALID.value,
        (acme_order.c.status != Status.PENDING.value) | alive,
    )
    if after is not None:
        query = query.where(acme_order.c.id > after)
    return list(connection.execute(query.order_by(acme_order.c.id).limit(limit)).scalars())


def search_orders(
    connection: Connection, *, account_id: str | None, before: str | None, limit: int, now: int
) -> list[Order]:
    """Orders for officers, newest first."""
    query = select(acme_order)
    if account_id is not None:
        query = query.where(acme_order.c.account_id == account_id)
    if before is not None:
        query = query.where(acme_order.c.id < before)
    rows = connection.execute(query.order_by(acme_order.c.id.desc()).limit(limit)).mappings().all()
    return [_order(dict(row), connection, now) for row in rows]


def claim_order(unit: UnitOfWork, order_id: str, thumbprint: str, request_id: str, now: int) -> None:
    """Take a ready order for one request; only while every authorization is valid and has its evidence.

    The account must be valid, still have the key that asked, and not be bound by one that was revoked.

    Raises:
        OrderTaken: it is not ready (any more).
    """
    claimed = _CLAIM.run(
        unit.connection,
        {
            "order": order_id,
            "unclaimed": Status.PENDING.value,
            "claimed": Status.PROCESSING.value,
            "proven": Status.VALID.value,
            "active": Status.VALID.value,
            "thumbprint": thumbprint,
            "now": now,
        },
    )
    if claimed != 1:
        raise OrderTaken
    link_finalization(unit, request_id, order_id)


def link_finalization(unit: UnitOfWork, request_id: str, order_id: str) -> None:
    """Say which order a certificate request was made for."""
    _INSERT_FINALIZATION.run(unit.connection, {"request_id": request_id, "order_id": order_id})


def complete_orders(unit: UnitOfWork, certificates: Mapping[str, str]) -> None:
    """Give orders their certificates: request id -> certificate id.

    Raises:
        RuntimeError: a request has no order that is being processed: our bug.
    """
    rows = [
        {
            "request": request_id,
            "certificate": certificate_id,
            "claimed": Status.PROCESSING.value,
            "done": Status.VALID.value,
        }
        for request_id, certificate_id in certificates.items()
    ]
    if _COMPLETE.run_many(unit.connection, rows) != len(rows):
        raise RuntimeError("a certificate was issued for an order that was not being processed")


def fail_order(unit: UnitOfWork, request_id: str, problem: Problem) -> None:
    """Give up the order that a request was to finalize, if it was one's."""
    order = select(acme_finalization.c.order_id).where(acme_finalization.c.request_id == request_id)
    unit.connection.execute(
        update(acme_order)
        .where(acme_order.c.id.in_(order), acme_order.c.status == Status.PROCESSING.value)
        .values(status=Status.INVALID.value, error=problem_text(problem))
    )


def note_refusal(unit: UnitOfWork, order_id: str, refusal: Refusal) -> None:
    """Keep a refusal with its order, in the place of the one before."""
    text = json.dumps({"at": refusal.at, "detail": refusal.detail, "rule_ids": list(refusal.rule_ids)})
    unit.connection.execute(update(acme_order).where(acme_order.c.id == order_id).values(refusal=text))


def find_refusal(connection: Connection, order_id: str) -> Refusal | None:
    """The newest refusal that `note_refusal` kept."""
    query = select(acme_order.c.refusal).where(acme_order.c.id == order_id)
    text = connection.execute(query).scalar_one_or_none()
    if text is None:
        return None
    found = json.loads(text)
    return Refusal(found["at"], found["detail"], tuple(found["rule_ids"]))


def list_finalizations(connection: Connection, order_id: str) -> list[Finalization]:
    """Every request that was made to finalize an order, oldest first."""
    columns = [certificate_request.c[name] for name in ("created_at", "status", "rule_ids", "detail")]
    rows = connection.execute(
        select(acme_finalization.c.request_id, certificate_request.c.csr_der, *columns)
        .join(certificate_request, certificate_request.c.id == acme_finalization.c.request_id)
        .where(acme_finalization.c.order_id == order_id)
        .order_by(certificate_request.c.id)
    ).mappings()
    return [Finalization(**{**row, "rule_ids": tuple(json.loads(row["rule_ids"]))}) for row in rows]


def is_finalized_with(connection: Connection, order_id: str, csr_der: bytes) -> bool:
    """Whether this very CSR is what the order is, or was, finalized with."""
    asked = {"order": order_id, "csr": csr_der, "refused": "refused"}
    return _FINALIZED_WITH.first(connection, asked) is not None


def count_refused(connection: Connection, order_id: str) -> int:
    """How many CSRs were refused for an order."""
    found = _COUNT_REFUSED.first(connection, {"order": order_id, "refused": "refused"})
    assert found is not None
    count: int = found[0]
    return count


def was_replaced(connection: Connection, certificate_id: str) -> bool:
    """Whether any order, failed ones too, has named this certificate as the one that it replaces."""
    query = select(acme_order.c.id).where(acme_order.c.replaces == certificate_id).limit(1)
    return connection.execute(query).first() is not None


def names_text(names: Sequence[OrderName]) -> str:
    """The names of an order as its row keeps them: JSON, as RFC 8555 §7.1.3 and RFC 9444 §4.2 write them."""
    values: list[dict[str, str]] = []
    for name in names:
        value = {"type": name.identifier.type.value, "value": name.identifier.value}
        if name.ancestor is not None:
            value["ancestorDomain"] = name.ancestor
        values.append(value)
    return json.dumps(values, separators=(",", ":"))


def _names(text: str) -> tuple[OrderName, ...]:
    return tuple(
        OrderName(make_identifier(IdentifierType(each["type"]), each["value"]), each.get("ancestorDomain"))
        for each in json.loads(text)
    )


def _order(row: Mapping[str, Any], connection: Connection, now: int) -> Order:
    states = _FIND_STATES.all(connection, {"order": row["id"]})
    statuses = [authorization_status(Status(status), expires_at, now) for _, status, expires_at in states]
    return Order(
        id=row["id"],
        account_id=row["account_id"],
        profile=row["profile"],
        status=order_status(Status(row["status"]), statuses, row["expires_at"], now),
        names=_names(row["identifiers"]),
        not_before=row["not_before"],
        not_after=row["not_after"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        error=read_problem(row["error"]),
        replaces=row["replaces"],
        counted=bool(row["counted"]),
        certificate_id=row["certificate_id"],
        authorization_ids=tuple(each[0] for each in states),
    )
