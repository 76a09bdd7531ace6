"""Buckets that leak, one row each: who asks pours one in, and a full bucket takes nothing (GCRA).

A row keeps the one number that the algorithm needs, so that one conditional upsert decides: of any number
who ask at once exactly as many pass as there is room for, whatever process or node they ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, bindparam, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from ca_server.store.acme_tables import rate_limit
from ca_server.store.prepared import Prepared
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Bucket:
    """How much fits in, and how fast it leaks, in milliseconds: `burst` at once, then one an `interval`."""

    burst: int
    interval: int

    @property
    def capacity(self) -> int:
        """How long a full bucket takes to run empty."""
        return self.burst * self.interval

    def wait(self, full_at: int, now: int) -> int:
        """Milliseconds until one more fits in, 0 where it does now."""
        return max(0, max(full_at, now) + self.interval - self.capacity - now)


def bucket_of(count: int, seconds: int) -> Bucket:
    """The bucket that lets through `count` at once and as many again in each `seconds`.

    An interval is rounded up to whole milliseconds, so that a bucket never leaks faster than it may.
    """
    return Bucket(count, -(-seconds * 1000 // count))


def _pour(insert: type[sqlite.Insert | postgresql.Insert]) -> Prepared:
    now = bindparam("now", type_=BigInteger)
    full_at = case((rate_limit.c.full_at <= now, now), else_=rate_limit.c.full_at) + bindparam(
        "interval", type_=BigInteger
    )
    statement = insert(rate_limit).on_conflict_do_update(
        index_elements=[rate_limit.c.name, rate_limit.c.subject],
        set_={"full_at": full_at},
        where=full_at <= bindparam("brim", type_=BigInteger),
    )
    return Prepared(statement, ("name", "subject", "full_at"))


_POUR = {"sqlite": _pour(sqlite.Insert), "postgresql": _pour(postgresql.Insert)}
_FIND = Prepared(
    select(rate_limit.c.full_at).where(
        rate_limit.c.name == bindparam("limit"), rate_limit.c.subject == bindparam("whose")
    )
)


def pour(unit: UnitOfWork, name: str, subject: str, bucket: Bucket, now: int) -> int | None:
    """Pour one in; None where there was room, or milliseconds until there is. `now` is in milliseconds.

    What the transaction does not commit was never poured in.
    """
    row = {
        "name": name,
        "subject": subject,
        "full_at": now + bucket.interval,
        "now": now,
        "interval": bucket.interval,
        "brim": now + bucket.capacity,
    }
    if _POUR[unit.connection.dialect.name].run(unit.connection, row) == 1:
        return None
    # The refused upsert has locked the row, so this is the number that refused.
    return find_wait(unit.connection, name, subject, bucket, now)


def find_wait(connection: Connection, name: str, subject: str, bucket: Bucket, now: int) -> int:
    """Milliseconds until one more would fit in, 0 where it would now; nothing is poured in."""
    row = _FIND.first(connection, {"limit": name, "whose": subject})
    return bucket.wait(row[0], now) if row else 0


def delete_empty(unit: UnitOfWork, now: int) -> int:
    """Forget every bucket that has run empty, which is as good as none; returns how many there were."""
    return unit.connection.execute(delete(rate_limit).where(rate_limit.c.full_at <= now)).rowcount
