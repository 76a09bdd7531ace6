"""The ceremony's one reading of the machine's clock; everything below the command line is handed the time."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, in UTC and whole seconds; people compare it before the ceremony begins."""

    def now(self) -> datetime:
        """The current time, aware UTC, whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the one clock of this program
