"""How much one client may ask for: buckets in the database, so that they hold for all nodes together.

Whatever is spent is spent in the caller's transaction, so what is refused or fails costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.identifiers import Identifier
from ca_server.core.rates import Rate
from ca_server.services.context import Context
from ca_server.store import rate_limits
from ca_server.store.rate_limits import bucket_of
from ca_server.store.unit_of_work import UnitOfWork


class Limit(StrEnum):
    """The limits that there are, by the names that the configuration has for them."""

    ACCOUNTS_PER_ADDRESS = "accounts_per_address"
    ORDERS_PER_ACCOUNT = "orders_per_account"
    CERTIFICATES_PER_NAME = "certificates_per_name"
    CERTIFICATES_PER_NAME_SET = "certificates_per_name_set"
    FAILURES_PER_NAME = "failures_per_name"


@dataclass(frozen=True, slots=True)
class Met:
    """A limit that was met, the place in the request that met it, and milliseconds until it is over."""

    limit: Limit
    rate: Rate
    pointer: str | None
    wait: int


@dataclass(frozen=True, slots=True)
class _Words:
    """A limit's rule, and what came too often."""

    rule_id: str
    what: str


_WORDS = {
    Limit.ACCOUNTS_PER_ADDRESS: _Words("ACME-LIMIT-ACCOUNTS", "new accounts from this address"),
    Limit.ORDERS_PER_ACCOUNT: _Words("ACME-LIMIT-ORDERS", "new orders and changes of this account"),
    Limit.CERTIFICATES_PER_NAME: _Words("ACME-LIMIT-NAME", "certificates with this name"),
    Limit.CERTIFICATES_PER_NAME_SET: _Words("ACME-LIMIT-NAMES", "certificates with exactly these names"),
    Limit.FAILURES_PER_NAME: _Words("ACME-LIMIT-FAILURES", "failed validations of this name"),
}


def spend(unit: UnitOfWork, limit: str, subject: str, rate: Rate, now: int) -> None:
    """Spend one of what a limit allows to a subject; kept only if the caller's transaction is.

    `limit` is the name of a limit, `subject` an account's id or what `refusals.network_of` makes of an
    address; `now` is seconds since 1970.

    Raises:
        CaError: rate_limited, the limit's `ACME-LIMIT-...` rule, `retry_after` exactly when it would pass.
    """
    bucket = bucket_of(rate.count, rate.seconds)
    wait = rate_limits.pour(unit, limit, subject, bucket, now * 1000)
    if wait:
        raise too_many([Met(Limit(limit), rate, None, wait)])


def count_failure(
    unit: UnitOfWork, limits: AcmeLimits, account_id: str, identifier: Identifier, now: int
) -> None:
    """Count a failed validation of a name by an account; nothing is refused by it."""
    rate = limits.failures_per_name
    subject = failure_subject(account_id, identifier)
    bucket = bucket_of(rate.count, rate.seconds)
    rate_limits.pour(unit, Limit.FAILURES_PER_NAME, subject, bucket, now * 1000)


def forget_full_buckets(context: Context) -> int:
    """Forget what says nothing any more: whoever has not asked for long has their whole limit again."""
    now = to_epoch(context.clock.now()) * 1000
    with context.database.write() as unit:
        forgotten = rate_limits.delete_empty(unit, now)
        unit.commit_unaudited("a bucket that has run empty is as good as none")
    return forgotten


def too_many(met: Sequence[Met]) -> CaError:
    """One refusal for all limits that were met; it holds until the last of them is over."""
    seconds = max(-(-each.wait // 1000) for each in met)
    violations = tuple(
        Violation(
            _WORDS[each.limit].rule_id,
            f"too many {_WORDS[each.limit].what}: {each.rate.count} in {each.rate.seconds} seconds at most",
            each.pointer,
        )
        for each in met
    )
    detail = f"{violations[0].detail}; try again in {seconds} seconds"
    return CaError(Kind.RATE_LIMITED, detail, violations=violations, retry_after=seconds)


def rate_of(limits: AcmeLimits, limit: Limit) -> Rate:
    """The rate that the configuration gives a limit."""
    found: Rate = getattr(limits, limit)
    return found


def failure_subject(account_id: str, identifier: Identifier) -> str:
    """Whose failures are counted together: those of one account with one name."""
    return hashlib.sha256(f"{account_id}\n{identifier}".encode()).hexdigest()
