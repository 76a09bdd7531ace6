"""Failed validations in a row, of one name by one account, and the names that are paused for it.

Names are `type:value` as authorizations have them, without the wildcard's label.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca_server.store.acme_tables import acme_failure
from ca_server.store.prepared import Prepared, is_listed
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class FailureRun:
    """Failures with no success between them; `paused_at` is None while the name is not paused."""

    identifier: str
    failures: int
    first_at: int
    last_at: int
    paused_at: int | None


_COLUMNS = tuple(acme_failure.c[name] for name in FailureRun.__dataclass_fields__)
_PAUSED = (
    select(*_COLUMNS)
    .where(acme_failure.c.account_id == bindparam("account"), acme_failure.c.paused_at.is_not(None))
    .order_by(acme_failure.c.identifier)
)
_LIST_PAUSED = Prepared(_PAUSED)
_LIST_PAUSED_OF = Prepared(_PAUSED.where(is_listed(acme_failure.c.identifier, "names")))


def note_failure(unit: UnitOfWork, account_id: str, identifier: str, now: int) -> FailureRun:
    """Count one more failure, and return the run with it."""
    dialect: Any = sqlite if unit.connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(acme_failure).values(
        account_id=account_id, identifier=identifier, failures=1, first_at=now, last_at=now
    )
    statement = statement.on_conflict_do_update(
        index_elements=[acme_failure.c.account_id, acme_failure.c.identifier],
        set_={"failures": acme_failure.c.failures + 1, "last_at": now},
    ).returning(*_COLUMNS)
    return FailureRun(*unit.connection.execute(statement).one())


def pause(unit: UnitOfWork, account_id: str, identifier: str, now: int) -> bool:
    """Pause a name for an account; False where it is paused already."""
    statement = update(acme_failure).where(*_of(account_id, identifier), acme_failure.c.paused_at.is_(None))
    return unit.connection.execute(statement.values(paused_at=now)).rowcount == 1


def end_run(unit: UnitOfWork, account_id: str, identifier: str) -> bool:
    """Forget the failures of a name after a success; True where it was paused."""
    statement = delete(acme_failure).where(*_of(account_id, identifier)).returning(acme_failure.c.paused_at)
    return unit.connection.execute(statement).scalar_one_or_none() is not None


def unpause(unit: UnitOfWork, account_id: str, identifier: str | None) -> list[str]:
    """End the pause of one name of an account, or of all, failures forgotten; returns the names."""
    statement = delete(acme_failure).where(
        acme_failure.c.account_id == account_id, acme_failure.c.paused_at.is_not(None)
    )
    if identifier is not None:
        statement = statement.where(acme_failure.c.identifier == identifier)
    return sorted(unit.connection.execute(statement.returning(acme_failure.c.identifier)).scalars())


def list_paused(
    connection: Connection, account_id: str, identifiers: Collection[str] | None = None
) -> list[FailureRun]:
    """The names that are paused for an account, of these or of all."""
    if identifiers is not None:
        asked = {"account": account_id, "names": json.dumps(sorted(identifiers))}
        return [FailureRun(*row) for row in _LIST_PAUSED_OF.all(connection, asked)]
    return [FailureRun(*row) for row in _LIST_PAUSED.all(connection, {"account": account_id})]


def delete_old(unit: UnitOfWork, before: int) -> int:
    """Forget runs that came to no pause and have not grown since; returns how many there were."""
    statement = delete(acme_failure).where(
        acme_failure.c.paused_at.is_(None), acme_failure.c.last_at < before
    )
    return unit.connection.execute(statement).rowcount


def _of(account_id: str, identifier: str) -> tuple[Any, ...]:
    return acme_failure.c.account_id == account_id, acme_failure.c.identifier == identifier
