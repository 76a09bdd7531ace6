"""Work that waits: one row for each thing to do, due at a time, taken by one worker at a time.

A worker takes a row for a while. If it dies, the row is due again when its lease ends. If the same work is
asked for again while it is being done, it is done once more afterwards: what was asked for is never lost.

A subject may begin with whose work it is, `owner/what`, so that nobody's work keeps another's waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, case, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca_server.store.tables import due_work
from ca_server.store.unit_of_work import UnitOfWork

MAX_BACKOFF = 300
MAX_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Lease:
    """One piece of work that `owner` has until `until`; `attempts` counts failures since the last success."""

    kind: str
    subject: str
    owner: str
    until: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Due:
    """Subjects that wait to be taken, and subjects nobody has ever scheduled."""

    ready: frozenset[str]
    unknown: frozenset[str]


def schedule(unit: UnitOfWork, kind: str, subject: str, due_at: int) -> None:
    """Have something done at `due_at` or sooner; asking twice is asking once, at the earlier time."""
    dialect = sqlite if unit.connection.dialect.name == "sqlite" else postgresql
    statement: Any = dialect.insert(due_work).values(
        kind=kind, subject=subject, due_at=due_at, lease_owner=None, lease_until=0, attempts=0
    )
    asked = statement.excluded.due_at
    unit.connection.execute(
        statement.on_conflict_do_update(
            index_elements=[due_work.c.kind, due_work.c.subject],
            set_={"due_at": asked},
            where=due_work.c.due_at > asked,
        )
    )


def list_due(connection: Connection, kind: str, subjects: Collection[str], now: int) -> Due:
    """Which of these subjects could be taken now, and which have no row yet; reading only."""
    query = select(due_work.c.subject, due_work.c.due_at, due_work.c.lease_until)
    rows = connection.execute(query.where(due_work.c.kind == kind, due_work.c.subject.in_(subjects))).all()
    known = {row.subject for row in rows}
    return Due(
        ready=frozenset(row.subject for row in rows if row.due_at <= now and row.lease_until <= now),
        unknown=frozenset(subjects) - known,
    )


def take(
    unit: UnitOfWork, kind: str, subjects: Collection[str], *, owner: str, now: int, seconds: int
) -> list[Lease]:
    """What is due of these subjects and nobody has, now this owner's for a number of seconds.

    `owner` must be another for every run, so that a lease that ran out is not mistaken for a new one.
    """
    free = _free(kind, now)
    query = select(due_work.c.subject, due_work.c.attempts).where(*free, due_work.c.subject.in_(subjects))
    taken = []
    for subject, attempts in unit.connection.execute(query.order_by(due_work.c.due_at)).all():
        # Due again when the lease ends; who schedules meanwhile pulls the time back, and `finish` sees it.
        statement = (
            update(due_work)
            .where(*free, due_work.c.subject == subject)
            .values(lease_owner=owner, lease_until=now + seconds, due_at=now + seconds)
        )
        if unit.connection.execute(statement).rowcount == 1:
            taken.append(Lease(kind, subject, owner, now + seconds, attempts))
    return taken


def is_any_due(connection: Connection, kind: str, now: int) -> bool:
    """Whether there is something of this kind to be taken; reading only."""
    query = select(due_work.c.subject).where(*_free(kind, now)).limit(1)
    return connection.execute(query).first() is not None


def count_waiting(connection: Connection, kind: str, whose: str) -> int:
    """How much of somebody's work of this kind waits or is being done."""
    query = select(func.count()).select_from(due_work)
    return connection.execute(query.where(due_work.c.kind == kind, _is_of(whose))).scalar_one()


def take_next(unit: UnitOfWork, kind: str, *, owner: str, now: int, seconds: int, share: int) -> Lease | None:
    """The work of this kind that has been due for longest, now this owner's for a number of seconds.

    Those for whom `share` pieces of work are being done already are passed over while anybody else waits.
    Many may ask at once and each gets something else. To begin counts as a failure until it is given back,
    so that work which kills whoever does it can be told by its `attempts`.
    """
    free = _free(kind, now)
    query = (
        select(due_work.c.subject, due_work.c.attempts)
        .order_by(due_work.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    others = [~_is_of(whose) for whose in _served(unit.connection, kind, now, share)]
    found = unit.connection.execute(query.where(*free, *others)).first()
    if found is None and others:
        found = unit.connection.execute(query.where(*free)).first()
    if found is None:
        return None
    until = now + seconds
    unit.connection.execute(
        update(due_work)
        .where(due_work.c.kind == kind, due_work.c.subject == found.subject)
        .values(lease_owner=owner, lease_until=until, due_at=until, attempts=found.attempts + 1)
    )
    return Lease(kind, found.subject, owner, until, found.attempts)


def complete(unit: UnitOfWork, lease: Lease) -> bool:
    """Give a lease back with the work done for ever; nothing is left of it.

    Only for what nobody asks for again. False when the lease was lost.
    """
    return unit.connection.execute(delete(due_work).where(*_held(lease))).rowcount == 1


def finish(unit: UnitOfWork, lease: Lease, *, now: int, next_at: int) -> bool:
    """Give a lease back with the work done; it is due again at `next_at`, or now if it was asked for again.

    Who asked after the lease had run out left no trace, for the work was due already: then it counts as
    asked for. False when the lease was lost: the work is somebody else's by now.
    """
    asked_again = due_work.c.due_at < lease.until
    due_at = (
        due_work.c.due_at if now >= lease.until else case((asked_again, due_work.c.due_at), else_=next_at)
    )
    return _give_back(unit, lease, due_at=due_at, attempts=0, last_error=None)


def retry(unit: UnitOfWork, lease: Lease, *, now: int, error: str) -> bool:
    """Give a lease back with the work undone; it is due again after 1, 2, 4 ... seconds, at most 5 minutes.

    False when the lease was lost.
    """
    delay = min(2 ** min(lease.attempts, 16), MAX_BACKOFF)
    return _give_back(
        unit,
        lease,
        due_at=now + delay,
        attempts=lease.attempts + 1,
        last_error=error[:MAX_ERROR_LENGTH],
    )


def put_back(unit: UnitOfWork, lease: Lease, *, now: int) -> bool:
    """Give a lease back as if the work had not been begun; it is due at once.

    False when the lease was lost.
    """
    return _give_back(unit, lease, due_at=now, attempts=lease.attempts)


def _give_back(unit: UnitOfWork, lease: Lease, **values: Any) -> bool:
    statement: Update = update(due_work).where(*_held(lease))
    statement = statement.values(lease_owner=None, lease_until=0, **values)
    return unit.connection.execute(statement).rowcount == 1


def _free(kind: str, now: int) -> tuple[Any, ...]:
    return (due_work.c.kind == kind, due_work.c.due_at <= now, due_work.c.lease_until <= now)


def _served(connection: Connection, kind: str, now: int, share: int) -> list[str]:
    """For whom so many leases are in force."""
    query = select(due_work.c.subject).where(due_work.c.kind == kind, due_work.c.lease_until > now)
    subjects = connection.execute(query).scalars()
    held = Counter(whose for whose, mark, _ in (each.partition("/") for each in subjects) if mark)
    return [whose for whose, count in held.items() if count >= share]


def _is_of(whose: str) -> ColumnElement[bool]:
    return due_work.c.subject.startswith(f"{whose}/", autoescape=True)


def _held(lease: Lease) -> tuple[Any, ...]:
    return (
        due_work.c.kind == lease.kind,
        due_work.c.subject == lease.subject,
        due_work.c.lease_owner == lease.owner,
        due_work.c.lease_until == lease.until,
    )
