"""How far the full lint has come, and what it found.

It follows the log: places in the tree are given in the order of commits, numbers of rows are not. A
certificate is linted once its `issue.done` has its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from ca_server.store.tables import audit_event, certificate, lint_finding, watermark
from ca_server.store.unit_of_work import UnitOfWork

WATERMARK = "linted"
NOTHING_YET = -1


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """One finding in one issued certificate, with the event that tells of it."""

    certificate_id: str
    code: str
    severity: str
    detail: str
    event_id: str


def unlinted(connection: Connection, limit: int) -> tuple[int, list[tuple[int, str, bytes]]]:
    """The watermark, and the next certificates after it as (place of their event in the tree, id, DER)."""
    done = connection.execute(select(watermark.c.value).where(watermark.c.name == WATERMARK)).scalar()
    after = NOTHING_YET if done is None else done
    rows = connection.execute(
        select(audit_event.c.leaf_index, certificate.c.id, certificate.c.der)
        .join(certificate, certificate.c.issued_event_id == audit_event.c.event_id)
        .where(audit_event.c.leaf_index > after)
        .order_by(audit_event.c.leaf_index)
        .limit(limit)
    )
    return after, [(row.leaf_index, row.id, bytes(row.der)) for row in rows]


def move_watermark(unit: UnitOfWork, before: int, after: int) -> bool:
    """Say that all up to `after` were linted; False where another worker was there first."""
    connection = unit.connection
    if before == NOTHING_YET:
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
