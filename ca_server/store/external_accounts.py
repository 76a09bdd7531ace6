"""External account keys as they are kept (RFC 8555 §7.3.4): what an officer lets accounts be bound to.

The secret itself stays in its column and is forgotten once it can bind nothing any more; the row, which
says what accounts of this key may have, stays for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    bindparam,
    case,
    insert,
    null,
    or_,
    select,
    update,
)

from ca_server.store.acme_tables import external_account_key as table
from ca_server.store.prepared import Prepared
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class ExternalAccountKey:
    """One key without its secret; `profiles` and `names` are patterns, times seconds since 1970."""

    id: str
    owner: str
    profiles: tuple[str, ...]
    names: tuple[str, ...]
    max_uses: int
    uses: int
    created_at: int
    not_after: int
    revoked_at: int | None

    def is_live(self, now: int) -> bool:
        """Neither revoked nor past its end."""
        return self.revoked_at is None and now <= self.not_after

    def can_bind(self, now: int) -> bool:
        """Whether one more account may be bound with it."""
        return self.is_live(now) and self.uses < self.max_uses


_COLUMNS = tuple(ExternalAccountKey.__dataclass_fields__)
_FIND = Prepared(select(*(table.c[name] for name in _COLUMNS)).where(table.c.id == bindparam("key")))
_CAN_BIND = (
    table.c.id == bindparam("key"),
    table.c.revoked_at.is_(None),
    table.c.not_after >= bindparam("now", type_=BigInteger),
    table.c.uses < table.c.max_uses,
)
_FIND_SECRET = Prepared(select(table.c.hmac_key).where(*_CAN_BIND))
_SPEND = (
    update(table)
    .where(*_CAN_BIND)
    .values(
        uses=table.c.uses + 1,
        hmac_key=case((table.c.uses + 1 < table.c.max_uses, table.c.hmac_key), else_=null()),
    )
)


def insert_key(unit: UnitOfWork, key: ExternalAccountKey, hmac_key: bytes, event_id: str) -> None:
    """Store a new key with its secret."""
    row = {name: getattr(key, name) for name in _COLUMNS}
    row |= {"profiles": json.dumps(key.profiles), "names": json.dumps(key.names)}
    unit.connection.execute(insert(table), {**row, "hmac_key": hmac_key, "event_id": event_id})


def find_key(connection: Connection, key_id: str) -> ExternalAccountKey | None:
    """A key by its id, live or not."""
    row = _FIND.first(connection, {"key": key_id})
    return _key(row) if row else None


def find_secret(connection: Connection, key_id: str, now: int) -> bytes | None:
    """The secret of a key that may bind one more account."""
    row = _FIND_SECRET.first(connection, {"key": key_id, "now": now})
    return bytes(row[0]) if row and row[0] is not None else None


def spend_use(unit: UnitOfWork, key_id: str, now: int) -> bool:
    """Use a key once, and forget its secret with the last use; False where it can bind no more accounts.

    Of any number who try at once as many pass as there are uses left.
    """
    return unit.connection.execute(_SPEND, {"key": key_id, "now": now}).rowcount == 1


def list_keys(connection: Connection, *, before: str | None, limit: int) -> list[ExternalAccountKey]:
    """Newest first, ended ones too; `before` is the id of the last one seen, and ids sort by time."""
    query = select(*(table.c[name] for name in _COLUMNS)).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.id < before)
    return [_key(tuple(row)) for row in connection.execute(query)]


def revoke_key(unit: UnitOfWork, key_id: str, now: int) -> bool:
    """End a key for ever and forget its secret; False where it was revoked before, or is not there."""
    statement = (
        update(table)
        .where(table.c.id == key_id, table.c.revoked_at.is_(None))
        .values(revoked_at=now, hmac_key=None)
    )
    return unit.connection.execute(statement).rowcount == 1


def forget_secrets(unit: UnitOfWork, now: int) -> int:
    """Forget the secrets of keys that can bind nothing any more; returns how many there were."""
    is_over: ColumnElement[bool] = or_(
        table.c.not_after < now, table.c.revoked_at.is_not(None), table.c.uses >= table.c.max_uses
    )
    statement = update(table).where(table.c.hmac_key.is_not(None), is_over).values(hmac_key=None)
    return unit.connection.execute(statement).rowcount


def _key(row: Sequence[Any]) -> ExternalAccountKey:
    named = dict(zip(_COLUMNS, row, strict=True))
    patterns = {name: tuple(json.loads(named[name])) for name in ("profiles", "names")}
    return ExternalAccountKey(**{**named, **patterns})
