"""What issuance writes and reads: requests, intents, certificates, idempotency keys.

T1 stores requests with their intents; T2 stores certificates and settles the intents. Both take whole
batches, so that one durable commit serves every certificate that waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, literal, select, update

from ca_server.core.errors import Violation
from ca_server.store.tables import (
    certificate,
    certificate_request,
    compromised_key,
    idempotency_key,
    issuance_intent,
)
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """Who asked for what, kept whole so that it can be replayed against another policy."""

    id: str
    created_at: int
    protocol: str
    principal_id: str
    profile: str
    csr_der: bytes
    requested: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """The exact bytes that a key is about to sign, or may have signed."""

    authority_id: str
    serial_number: str
    event_id: str
    request_id: str
    created_at: int
    profile: str
    signature_algorithm: str
    tbs_sha256: str
    tbs: bytes


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """An issued certificate as it is kept; `id` is the hex SHA-256 of the DER."""

    id: str
    authority_id: str
    serial_number: str
    issued_event_id: str
    profile: str
    principal_id: str
    protocol: str
    subject: str
    names: str
    spki_sha256: str
    not_before: int
    not_after: int
    der: bytes


@dataclass(frozen=True, slots=True)
class StoredIdempotencyKey:
    """A client's promise that the same key always means the same request."""

    principal_id: str
    key: str
    request_sha256: str
    request_id: str
    created_at: int


class AlreadySettled(Exception):
    """Somebody else settled one of these intents first; nothing was written."""


def insert_intents(
    unit: UnitOfWork,
    requests: Sequence[StoredRequest],
    intents: Sequence[StoredIntent],
    keys: Sequence[StoredIdempotencyKey],
) -> None:
    """T1: everything that must be known before a key is used.

    Raises:
        BrokenRule: a serial number or idempotency key is taken.
    """
    connection = unit.connection
    connection.execute(insert(certificate_request), [_request_row(each, "intent") for each in requests])
    connection.execute(insert(issuance_intent), [{**asdict(each), "state": "intent"} for each in intents])
    if keys:
        connection.execute(insert(idempotency_key), [asdict(each) for each in keys])


def insert_refused_request(
    unit: UnitOfWork, request: StoredRequest, violations: tuple[Violation, ...], detail: str
) -> None:
    """Keep a refused request, so that a proposed profile can be tried on it."""
    row = _request_row(request, "refused")
    row["rule_ids"] = json.dumps([violation.rule_id for violation in violations])
    row["detail"] = detail
    unit.connection.execute(insert(certificate_request), [row])


def settle_intents(
    unit: UnitOfWork, certificates: Sequence[StoredCertificate], request_ids: Sequence[str]
) -> None:
    """T2: the certificates, their intents done, their requests issued.

    Raises:
        AlreadySettled: an intent was not open any more; the caller must leave without a commit.
    """
    connection = unit.connection
    serials = [each.serial_number for each in certificates]
    settled = connection.execute(
        update(issuance_intent)
        .where(issuance_intent.c.serial_number.in_(serials), issuance_intent.c.state == "intent")
        .where(issuance_intent.c.authority_id.in_({each.authority_id for each in certificates}))
        .values(state="done", tbs=None)
    )
    if settled.rowcount != len(certificates):
        raise AlreadySettled
    connection.execute(
        update(certificate_request).where(certificate_request.c.id.in_(request_ids)).values(status="issued")
    )
    connection.execute(insert(certificate), [asdict(each) for each in certificates])


def abandon_intent(unit: UnitOfWork, intent: StoredIntent) -> None:
    """Give an intent up for good; its serial number stays taken.

    Raises:
        AlreadySettled: it was not open any more.
    """
    abandoned = unit.connection.execute(
        update(issuance_intent)
        .where(
            issuance_intent.c.authority_id == intent.authority_id,
            issuance_intent.c.serial_number == intent.serial_number,
            issuance_intent.c.state == "intent",
        )
        .values(state="abandoned", tbs=None)
    )
    if abandoned.rowcount != 1:
        raise AlreadySettled
    unit.connection.execute(
        update(certificate_request)
        .where(certificate_request.c.id == intent.request_id)
        .values(status="abandoned")
    )


def open_intents(connection: Connection, *, created_before: int, limit: int) -> list[StoredIntent]:
    """Intents without outcome, oldest first."""
    rows = connection.execute(
        _select_intent()
        .where(issuance_intent.c.state == "intent", issuance_intent.c.created_at < created_before)
        .order_by(issuance_intent.c.created_at)
        .limit(limit)
    )
    return [_intent(row) for row in rows.mappings()]


def count_open(connection: Connection) -> int:
    """How many intents have no outcome."""
    found = connection.execute(
        select(func.count()).select_from(issuance_intent).where(issuance_intent.c.state == "intent")
    )
    return found.scalar_one()


def find_intent(connection: Connection, request_id: str) -> StoredIntent | None:
    """The open intent of a request, or None once it is settled."""
    row = connection.execute(
        _select_intent().where(
            issuance_intent.c.request_id == request_id, issuance_intent.c.state == "intent"
        )
    ).mappings()
    found = row.one_or_none()
    return _intent(found) if found else None


def find_issued(connection: Connection, request_id: str) -> RowMapping | None:
    """The certificate that a request led to (`id`, `serial_number`, `authority_id`, `der`)."""
    return (
        connection.execute(
            select(
                certificate.c.id,
                certificate.c.serial_number,
                certificate.c.authority_id,
                certificate.c.der,
            )
            .join(
                issuance_intent,
                (issuance_intent.c.authority_id == certificate.c.authority_id)
                & (issuance_intent.c.serial_number == certificate.c.serial_number),
            )
            .where(issuance_intent.c.request_id == request_id)
        )
        .mappings()
        .one_or_none()
    )


def find_request_owner(connection: Connection, request_id: str) -> tuple[str, str]:
    """The principal and protocol of a stored request."""
    row = connection.execute(
        select(certificate_request.c.principal_id, certificate_request.c.protocol).where(
            certificate_request.c.id == request_id
        )
    ).one()
    return row.principal_id, row.protocol


def find_idempotency_key(connection: Connection, principal_id: str, key: str) -> RowMapping | None:
    """The request that this principal's key stands for (`request_sha256`, `request_id`)."""
    return (
        connection.execute(
            select(idempotency_key.c.request_sha256, idempotency_key.c.request_id).where(
                idempotency_key.c.principal_id == principal_id, idempotency_key.c.key == key
            )
        )
        .mappings()
        .one_or_none()
    )


def is_compromised(connection: Connection, spki_sha256: str) -> bool:
    """Whether this public key is on the compromise list."""
    found = connection.execute(
        select(literal(1)).select_from(compromised_key).where(compromised_key.c.spki_sha256 == spki_sha256)
    )
    return found.first() is not None


def stored_names(names: Iterable[object]) -> str:
    """Identifiers as the certificate row keeps them: a sorted JSON array of `type:value`."""
    return json.dumps(sorted(str(name) for name in names), separators=(",", ":"))


def _select_intent() -> Any:
    columns = [issuance_intent.c[name] for name in StoredIntent.__dataclass_fields__]
    return select(*columns)


def _intent(row: RowMapping) -> StoredIntent:
    return StoredIntent(**dict(row))


def _request_row(request: StoredRequest, status: str) -> dict[str, Any]:
    row = asdict(request)
    row["requested"] = json.dumps(request.requested, separators=(",", ":"))
    return {**row, "status": status, "rule_ids": "[]", "detail": ""}
