"""From when until when: what a script's lifetimes and dates come to on the day of the ceremony."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ca_server.core.clock import to_text
from ceremony.profiles import Profile

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


def period_of(profile: Profile, now: datetime) -> Period:
    """The validity that a script asks for; a lifetime starts with the ceremony."""
    if profile.lifetime is not None:
        return lasting(profile.lifetime, now)
    if profile.not_before is None or profile.not_after is None:
        raise ValueError("a parsed script has either a lifetime or both dates")
    return Period(profile.not_before, profile.not_after)


def lasting(lifetime: timedelta, now: datetime) -> Period:
    """A period of exactly this length from now; the last second counts, so one is taken off."""
    return Period(now, now + lifetime - _ONE_SECOND)
