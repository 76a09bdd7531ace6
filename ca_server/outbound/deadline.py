"""How long a conversation may last in all, however slowly the other side talks."""

from __future__ import annotations

import time


class Deadline:
    """A point of time that many waits share; it runs from when it is made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds that the next wait may take.

        Raises:
            TimeoutError: the time is over.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, at_most)
