"""How often somebody may fail to prove with a secret who they are, and be refused what they ask for.

Whoever does everything right is never limited: a name is easily learnt, and many share an address, so that
otherwise one who fails on purpose would keep the others out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est.settings import EstLimits
from ca_server.core.rates import Rate
from ca_server.services.context import Context
from ca_server.services.refusals import network_of
from ca_server.store import rate_limits
from ca_server.store.rate_limits import Bucket, bucket_of
from ca_server.store.unit_of_work import UnitOfWork


class Limit(StrEnum):
    """The limits that there are, by the names that the configuration has for them."""

    FAILURES_PER_ADDRESS = "failures_per_address"
    FAILURES_PER_SECRET = "failures_per_secret"  # noqa: S105 - a limit's name
    REFUSALS_PER_IDENTITY = "refusals_per_identity"


@dataclass(frozen=True, slots=True)
class _Count:
    """What one limit allows to one subject."""

    limit: Limit
    subject: str
    rate: Rate

    @property
    def bucket(self) -> Bucket:
        return bucket_of(self.rate.count, self.rate.seconds)


def count_failure(context: Context, limits: EstLimits, secret_id: str, address: str) -> None:
    """Count a wrong user name or password; a secret that does not exist counts like one that does.

    Raises:
        CaError: rate_limited, `EST-LIMIT-FAILURES`: it was one too many; unavailable.
    """
    per_address = _Count(Limit.FAILURES_PER_ADDRESS, network_of(address), limits.failures_per_address)
    _count_failure(context, per_address, _of_secret(limits, secret_id))


def count_spent(context: Context, limits: EstLimits, secret_id: str) -> None:
    """Count a try with a secret that is used up; it is known, so nothing is held against the address.

    Raises:
        CaError: rate_limited, `EST-LIMIT-FAILURES`: it was one too many; unavailable.
    """
    _count_failure(context, _of_secret(limits, secret_id))


def count_refusal(unit: UnitOfWork, identity: str, rate: Rate, now: int) -> None:
    """Count with what is kept of it that the gate has refused a principal; `now` is seconds since 1970.

    Raises:
        CaError: rate_limited, `EST-LIMIT-REFUSALS`: no more is kept of this one; the caller commits nothing.
    """
    count = _Count(Limit.REFUSALS_PER_IDENTITY, _digest(identity), rate)
    wait = rate_limits.pour(unit, count.limit, count.subject, count.bucket, now * 1000)
    if wait:
        raise _too_many("EST-LIMIT-REFUSALS", "too many requests of this client were refused", wait)


def _count_failure(context: Context, *counts: _Count) -> None:
    now = to_epoch(context.clock.now()) * 1000
    with context.database.read() as connection:
        waits = [
            rate_limits.find_wait(connection, each.limit, each.subject, each.bucket, now) for each in counts
        ]
    # Where one is full already, there is nothing to write, however often it is tried.
    if not any(waits):
        with context.database.write() as unit:
            waits = [
                rate_limits.pour(unit, each.limit, each.subject, each.bucket, now) or 0 for each in counts
            ]
            unit.commit_unaudited("a failure is counted; the door writes the refusal down")
    if any(waits):
        raise _too_many("EST-LIMIT-FAILURES", "too many failed attempts with enrolment secrets", max(waits))


def _of_secret(limits: EstLimits, secret_id: str) -> _Count:
    return _Count(Limit.FAILURES_PER_SECRET, _digest(secret_id), limits.failures_per_secret)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _too_many(rule_id: str, what: str, wait: int) -> CaError:
    seconds = -(-wait // 1000)
    detail = f"{what}; try again in {seconds} seconds"
    violations = refuse(Kind.RATE_LIMITED, rule_id, detail).violations
    return CaError(Kind.RATE_LIMITED, detail, violations=violations, retry_after=seconds)
