"""How far the full lint has come, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from ca_server.store.tables import certificate, lint_finding, watermark
from ca_server.store.unit_of_work import UnitOfWork

WATERMARK = "linted"


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """One finding in one issued certificate, with the event that tells of it."""

    certificate_id: str
    code: str
    severity: str
    detail: str
    event_id: str


def unlinted(connection: Connection, limit: int) -> tuple[int, list[tuple[int, str, bytes]]]:
    """The watermark, and the next certificates after it as (number, id, DER)."""
    done = connection.execute(select(watermark.c.value).where(watermark.c.name == WATERMARK)).scalar()
    after = done or 0
    rows = connection.execute(
        select(certificate.c.number, certificate.c.id, certificate.c.der)
        .where(certificate.c.number > after)
        .order_by(certificate.c.number)
        .limit(limit)
    )
    return after, [(row.number, row.id, row.der) for row in rows]


def move_watermark(unit: UnitOfWork, before: int, after: int) -> bool:
    """Say that all up to `after` were linted; False where another worker was there first."""
    connection = unit.connection
    if before == 0:
        found = connection.execute(select(watermark.c.value).where(watermark.c.name == WATERMARK)).first()
        if found is None:
            connection.execute(insert(watermark).values(name=WATERMARK, value=after))
            return True
    moved = connection.execute(
        update(watermark)
        .where(watermark.c.name == WATERMARK, watermark.c.value == before)
        .values(value=after)
    )
    return moved.rowcount == 1


def insert_findings(unit: UnitOfWork, findings: Sequence[StoredFinding]) -> None:
    """Keep what was found."""
    rows = [
        {
            "certificate_id": each.certificate_id,
            "code": each.code,
            "severity": each.severity,
            "detail": each.detail,
            "event_id": each.event_id,
        }
        for each in findings
    ]
    unit.connection.execute(insert(lint_finding), rows)
