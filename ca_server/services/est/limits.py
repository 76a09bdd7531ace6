"""How often somebody may fail to prove with an enrolment secret who they are."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est.settings import EstLimits
from ca_server.core.rates import Rate
from ca_server.services.context import Context
from ca_server.services.refusals import network_of
from ca_server.store import rate_limits
from ca_server.store.rate_limits import bucket_of


class Limit(StrEnum):
    """The limits that there are, by the names that the configuration has for them."""

    FAILURES_PER_ADDRESS = "failures_per_address"
    FAILURES_PER_SECRET = "failures_per_secret"  # noqa: S105 - a limit's name


class Failures:
    """Counts the failures of one client: those from its address, and those with the secret it names.

    A secret that does not exist is counted like one that does, so that the two cannot be told apart. Whoever
    knows the right password is not kept out by those who guess at it from elsewhere: of 256 bits nobody
    guesses, but a name is easily learnt.
    """

    def __init__(self, context: Context, limits: EstLimits, address: str, secret_id: str) -> None:
        self._context = context
        secret = hashlib.sha256(secret_id.encode("utf-8", "surrogatepass")).hexdigest()
        self._buckets: tuple[tuple[Limit, str, Rate], ...] = (
            (Limit.FAILURES_PER_ADDRESS, network_of(address), limits.failures_per_address),
            (Limit.FAILURES_PER_SECRET, secret, limits.failures_per_secret),
        )

    def require_few(self) -> None:
        """Pass a client whose address may still fail; one that may not is not even listened to.

        Raises:
            CaError: rate_limited, `EST-LIMIT-FAILURES`, `retry_after` until it may try again.
        """
        name, whose, rate = self._buckets[0]
        bucket = bucket_of(rate.count, rate.seconds)
        with self._context.database.read() as connection:
            wait = rate_limits.find_wait(connection, name, whose, bucket, self._now())
        if wait:
            raise _too_many(wait)

    def count(self) -> None:
        """Count one more failure.

        Raises:
            CaError: rate_limited, `EST-LIMIT-FAILURES`: it was one too many; unavailable.
        """
        now = self._now()
        with self._context.database.write() as unit:
            waits = [
                rate_limits.pour(unit, name, whose, bucket_of(rate.count, rate.seconds), now) or 0
                for name, whose, rate in self._buckets
            ]
            unit.commit_unaudited("a failure is counted; the door writes the refusal down")
        if any(waits):
            raise _too_many(max(waits))

    def _now(self) -> int:
        return to_epoch(self._context.clock.now()) * 1000


def _too_many(wait: int) -> CaError:
    seconds = -(-wait // 1000)
    detail = f"too many failed attempts with enrolment secrets; try again in {seconds} seconds"
    violations = refuse(Kind.RATE_LIMITED, "EST-LIMIT-FAILURES", detail).violations
    return CaError(Kind.RATE_LIMITED, detail, violations=violations, retry_after=seconds)
