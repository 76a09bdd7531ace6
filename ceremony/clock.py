"""The ceremony's one reading of the machine's clocks; everything below the command is handed the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class RoomClock(Protocol):
    """Tells the time in the room."""

    def now(self) -> datetime:
        """The current time, aware UTC, whole seconds."""

    def mono_ms(self) -> int:
        """Milliseconds that no one can set back, from an unknown start."""


class SystemClock:
    """The machine's clocks; people compare the first one before the ceremony begins."""

    def now(self) -> datetime:
        """The current time, aware UTC, whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the one clock of this program

    def mono_ms(self) -> int:
        """Milliseconds since some moment before this process."""
        return time.monotonic_ns() // 1_000_000
