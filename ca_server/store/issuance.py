"""What issuance writes and reads: requests, intents, certificates, idempotency keys.

T1 stores requests with their intents; T2 stores certificates and settles the intents. Both take whole
batches, so that one durable commit serves every certificate that waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from ca_server.core.errors import Violation
from ca_server.store.prepared import Prepared
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


_REQUEST_COLUMNS = tuple(StoredRequest.__dataclass_fields__)
_INTENT_COLUMNS = tuple(StoredIntent.__dataclass_fields__)
_CERTIFICATE_COLUMNS = tuple(StoredCertificate.__dataclass_fields__)
_KEY_COLUMNS = tuple(StoredIdempotencyKey.__dataclass_fields__)

_INSERT_REQUEST = Prepared(insert(certificate_request), (*_REQUEST_COLUMNS, "status", "rule_ids", "detail"))
_INSERT_INTENT = Prepared(insert(issuance_intent), (*_INTENT_COLUMNS, "state"))
_INSERT_KEY = Prepared(insert(idempotency_key), _KEY_COLUMNS)
_INSERT_CERTIFICATE = Prepared(insert(certificate), _CERTIFICATE_COLUMNS)
_SETTLE_INTENT = Prepared(
    update(issuance_intent)
    .where(
        issuance_intent.c.authority_id == bindparam("authority"),
        issuance_intent.c.serial_number == bindparam("serial"),
        issuance_intent.c.state == bindparam("open"),
    )
    .values(state=bindparam("outcome"), tbs=None)
)
_SET_STATUS = Prepared(
    update(certificate_request)
    .where(certificate_request.c.id == bindparam("request"))
    .values(status=bindparam("outcome"))
)
_FIND_KEY = Prepared(
    select(idempotency_key.c.request_sha256, idempotency_key.c.request_id).where(
        idempotency_key.c.principal_id == bindparam("principal"), idempotency_key.c.key == bindparam("given")
    )
)
_FIND_COMPROMISED = Prepared(
    select(compromised_key.c.created_at).where(compromised_key.c.spki_sha256 == bindparam("spki"))
)


_FIND_OWN = Prepared(
    select(certificate.c.authority_id, certificate.c.der).where(
        certificate.c.id == bindparam("certificate"), certificate.c.principal_id == bindparam("principal")
    )
)


def insert_intents(
    unit: UnitOfWork,
    requests: Sequence[StoredRequest],
    intents: Sequence[StoredIntent],
    keys: Sequence[StoredIdempotencyKey],
) -> None:
    """T1: everything that must be known before a key is used; `requests` are those not stored before.

    Raises:
        BrokenRule: a serial number or idempotency key is taken.
    """
    connection = unit.connection
    if requests:
        _INSERT_REQUEST.run_many(connection, [_request_row(each, "intent") for each in requests])
    _INSERT_INTENT.run_many(
        connection, [{**_row(each, _INTENT_COLUMNS), "state": "intent"} for each in intents]
    )
    if keys:
        _INSERT_KEY.run_many(connection, [_row(each, _KEY_COLUMNS) for each in keys])


def insert_refused_request(
    unit: UnitOfWork, request: StoredRequest, violations: tuple[Violation, ...], detail: str
) -> None:
    """Keep a refused request, so that a proposed profile can be tried on it."""
    row = _request_row(request, "refused")
    row["rule_ids"] = json.dumps(sorted({violation.rule_id for violation in violations}))
    row["detail"] = detail
    _INSERT_REQUEST.run(unit.connection, row)


def insert_pending_request(unit: UnitOfWork, request: StoredRequest, key: StoredIdempotencyKey) -> None:
    """Keep a request that waits for officers, found again by its idempotency key.

    Raises:
        BrokenRule: the idempotency key is taken.
    """
    _INSERT_REQUEST.run(unit.connection, _request_row(request, "pending"))
    _INSERT_KEY.run(unit.connection, _row(key, _KEY_COLUMNS))


def settle_intents(
    unit: UnitOfWork, certificates: Sequence[StoredCertificate], request_ids: Sequence[str]
) -> None:
    """T2: the certificates, their intents done, their requests issued.

    Raises:
        AlreadySettled: an intent was not open any more; the caller must leave without a commit.
    """
    connection = unit.connection
    settled = _SETTLE_INTENT.run_many(
        connection,
        [
            {
                "authority": each.authority_id,
                "serial": each.serial_number,
                "open": "intent",
                "outcome": "done",
                "tbs": None,
            }
            for each in certificates
        ],
    )
    if settled != len(certificates):
        raise AlreadySettled
    _SET_STATUS.run_many(connection, [{"request": each, "outcome": "issued"} for each in request_ids])
    _INSERT_CERTIFICATE.run_many(connection, [_row(each, _CERTIFICATE_COLUMNS) for each in certificates])


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


def find_own_certificate(
    connection: Connection, certificate_id: str, principal_id: str
) -> tuple[str, bytes] | None:
    """The authority and DER of a certificate that was issued to this principal."""
    found = _FIND_OWN.first(connection, {"certificate": certificate_id, "principal": principal_id})
    return (found[0], bytes(found[1])) if found else None


def find_request_owner(connection: Connection, request_id: str) -> tuple[str, str]:
    """The principal and protocol of a stored request."""
    row = connection.execute(
        select(certificate_request.c.principal_id, certificate_request.c.protocol).where(
            certificate_request.c.id == request_id
        )
    ).one()
    return row.principal_id, row.protocol


def find_idempotency_key(connection: Connection, principal_id: str, key: str) -> tuple[str, str] | None:
    """What this principal's key stands for: the digest of the request, and the stored request's id."""
    found = _FIND_KEY.first(connection, {"principal": principal_id, "given": key})
    return (found[0], found[1]) if found else None


def is_compromised(connection: Connection, spki_sha256: str) -> bool:
    """Whether this public key is on the compromise list."""
    return _FIND_COMPROMISED.first(connection, {"spki": spki_sha256}) is not None


def stored_names(names: Iterable[object]) -> str:
    """Identifiers as the certificate row keeps them: a sorted JSON array of `type:value`."""
    return json.dumps(sorted(str(name) for name in names), separators=(",", ":"))


def _select_intent() -> Any:
    columns = [issuance_intent.c[name] for name in StoredIntent.__dataclass_fields__]
    return select(*columns)


def _intent(row: RowMapping) -> StoredIntent:
    return StoredIntent(**dict(row))


def _row(value: object, columns: tuple[str, ...]) -> dict[str, Any]:
    """A flat value as a row; `dataclasses.asdict` would copy deeply and take ten times as long."""
    return {name: getattr(value, name) for name in columns}


def _request_row(request: StoredRequest, status: str) -> dict[str, Any]:
    row = _row(request, _REQUEST_COLUMNS)
    row["requested"] = json.dumps(request.requested, separators=(",", ":"))
    return {**row, "status": status, "rule_ids": "[]", "detail": ""}
