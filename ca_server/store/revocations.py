"""Revocations: written in one statement each, so that of a hundred who try at once exactly one succeeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from sqlalchemy import Connection, case, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca_server.core.clock import from_epoch
from ca_server.core.crl import CrlEntry
from ca_server.store.tables import compromised_key, revocation, watermark
from ca_server.store.unit_of_work import UnitOfWork

WATERMARK = "revocation"
HOLD = x509.ReasonFlags.certificate_hold.value


@dataclass(frozen=True, slots=True)
class StoredRevocation:
    """A revocation as it is kept; `reason` is the RFC 5280 word, times are seconds since 1970.

    `not_after` is the certificate's, so that a CRL can be made without reading certificates.
    """

    authority_id: str
    serial_number: str
    revoked_at: int
    reason: str
    invalidity_date: int | None
    not_after: int
    event_id: str


def insert_revocation(unit: UnitOfWork, stored: StoredRevocation) -> int | None:
    """Revoke, or turn a hold into a final revocation; the answer is the date from which it counts.

    A hold made final keeps the date of the hold (X.509 §8.5.2.3). None when the certificate is revoked
    already, or when it is on hold and put on hold again.
    """
    statement = _insert(unit, revocation).values(
        authority_id=stored.authority_id,
        serial_number=stored.serial_number,
        revoked_at=stored.revoked_at,
        reason=stored.reason,
        invalidity_date=stored.invalidity_date,
        not_after=stored.not_after,
        event_id=stored.event_id,
    )
    new = statement.excluded
    released = revocation.c.released_at.is_not(None)
    made_final = (revocation.c.reason == HOLD) & (new.reason != HOLD)
    statement = statement.on_conflict_do_update(
        index_elements=[revocation.c.authority_id, revocation.c.serial_number],
        set_={
            "revoked_at": case((released, new.revoked_at), else_=revocation.c.revoked_at),
            "reason": new.reason,
            "invalidity_date": new.invalidity_date,
            "event_id": new.event_id,
            "released_at": None,
            "released_event_id": None,
        },
        where=or_(released, made_final),
    ).returning(revocation.c.revoked_at)
    counts_from: int | None = unit.connection.execute(statement).scalar_one_or_none()
    return counts_from


def release_hold(
    unit: UnitOfWork, authority_id: str, serial_number: str, *, released_at: int, event_id: str
) -> bool:
    """Take a certificate off hold; False when it is not on hold."""
    statement = (
        update(revocation)
        .where(
            revocation.c.authority_id == authority_id,
            revocation.c.serial_number == serial_number,
            revocation.c.reason == HOLD,
            revocation.c.released_at.is_(None),
        )
        .values(released_at=released_at, released_event_id=event_id)
    )
    return unit.connection.execute(statement).rowcount == 1


def raise_watermark(unit: UnitOfWork) -> None:
    """Tell whoever keeps answers about revocation that theirs are old."""
    statement = _insert(unit, watermark).values(name=WATERMARK, value=1)
    unit.connection.execute(
        statement.on_conflict_do_update(
            index_elements=[watermark.c.name], set_={"value": watermark.c.value + 1}
        )
    )


def insert_compromised_key(
    unit: UnitOfWork, spki_sha256: str, *, created_at: int, reason: str, event_id: str
) -> bool:
    """Put a public key on the compromise list for ever; False when it is there already."""
    statement = _insert(unit, compromised_key).values(
        spki_sha256=spki_sha256, created_at=created_at, reason=reason, event_id=event_id
    )
    statement = statement.on_conflict_do_nothing().returning(compromised_key.c.spki_sha256)
    return unit.connection.execute(statement).first() is not None


def list_entries(connection: Connection, authority_id: str, published_at: int | None) -> list[CrlEntry]:
    """What belongs on an authority's next full CRL, by serial number.

    `published_at` is the this_update of its last published CRL, or None. A certificate stays until one CRL
    issued after its end has carried it (RFC 5280 §3.3): every one whose end the last CRL did not outlive, and
    every one that was revoked since.
    """
    query = select(
        revocation.c.serial_number,
        revocation.c.revoked_at,
        revocation.c.reason,
        revocation.c.invalidity_date,
    ).where(revocation.c.authority_id == authority_id, revocation.c.released_at.is_(None))
    if published_at is not None:
        query = query.where(
            or_(revocation.c.not_after >= published_at, revocation.c.revoked_at >= published_at)
        )
    return [
        CrlEntry(
            serial_number=int(row.serial_number, 16),
            revoked_at=from_epoch(row.revoked_at),
            reason=x509.ReasonFlags(row.reason),
            invalidity_date=None if row.invalidity_date is None else from_epoch(row.invalidity_date),
        )
        for row in connection.execute(query.order_by(revocation.c.serial_number))
    ]


def _insert(unit: UnitOfWork, table: Any) -> Any:
    dialect = sqlite if unit.connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
