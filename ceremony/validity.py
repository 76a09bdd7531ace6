"""From when until when: what a script's lifetimes and dates come to on the day of the ceremony."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ca_server.core.clock import to_text
from ceremony.script import Certified

_ONE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """A validity; both ends belong to it (RFC 5280 §4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    def __str__(self) -> str:
        return f"{to_text(self.not_before)} to {to_text(self.not_after)}"

    def holds(self, other: Period) -> bool:
        """True where `other` begins no earlier and ends no later."""
        return self.not_before <= other.not_before and other.not_after <= self.not_after


def period_of(certified: Certified, now: datetime) -> Period:
    """The validity that a script asks for; a lifetime starts with the ceremony."""
    if certified.lifetime is not None:
        return lasting(certified.lifetime, now)
    if certified.not_before is None or certified.not_after is None:
        raise ValueError("a parsed script has either a lifetime or both dates")
    return Period(certified.not_before, certified.not_after)


def lasting(lifetime: timedelta, now: datetime) -> Period:
    """A period of exactly this length from now; the last second counts, so one is taken off."""
    return Period(now, now + lifetime - _ONE_SECOND)
