"""Enrolment secrets as they are kept: what an officer lets somebody enrol for. The secret itself never is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from ca_server.core.est.resources import EnrolmentSecret
from ca_server.store.est_tables import enrolment_secret as table
from ca_server.store.prepared import Prepared
from ca_server.store.unit_of_work import UnitOfWork

_COLUMNS = tuple(EnrolmentSecret.__dataclass_fields__)
_FIND = Prepared(select(*(table.c[name] for name in _COLUMNS)).where(table.c.id == bindparam("secret")))


def insert_secret(unit: UnitOfWork, secret: EnrolmentSecret, event_id: str) -> None:
    """Store a new secret's digest, and what it allows."""
    row = {**asdict(secret), "names": json.dumps(secret.names), "event_id": event_id}
    unit.connection.execute(insert(table), row)


def find_secret(connection: Connection, secret_id: str) -> EnrolmentSecret | None:
    """A secret by its id, live or not."""
    row = _FIND.first(connection, {"secret": secret_id})
    return _secret(row) if row else None


def list_secrets(connection: Connection, *, before: str | None, limit: int) -> list[EnrolmentSecret]:
    """Newest first, ended ones too; `before` is the id of the last one seen, and ids sort by time."""
    query = select(*(table.c[name] for name in _COLUMNS)).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.id < before)
    return [_secret(tuple(row)) for row in connection.execute(query)]


def revoke_secret(unit: UnitOfWork, secret_id: str, now: int) -> bool:
    """End a secret for ever; False where it was revoked before, or is not there."""
    statement = (
        update(table).where(table.c.id == secret_id, table.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return unit.connection.execute(statement).rowcount == 1


def _secret(row: Sequence[Any]) -> EnrolmentSecret:
    named = dict(zip(_COLUMNS, row, strict=True))
    return EnrolmentSecret(**{**named, "names": tuple(json.loads(named["names"]))})
