"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class SetClock:
    """Keeps the contract of `core.clock.Clock`: aware UTC, whole seconds."""

    def __init__(self, start: datetime = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> None:
        self._now += timedelta(**duration)
