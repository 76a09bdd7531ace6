"""The threads of a worker that validate ACME challenges, beside its one thread for everything else.

Validation waits for other people's machines; nothing else may wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from ca_server.core.errors import CaError

log = structlog.get_logger(__name__)

# Pauses of a thread that found nothing to do: short at first, for challenges come in bursts.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 0.3
PAUSE_AFTER_FAILURE = 1.0


class ValidationThreads:
    """Runs `validate_once` in a number of threads until told to stop; it returns whether there was work."""

    def __init__(self, validate_once: Callable[[], bool], count: int) -> None:
        self._validate_once = validate_once
        self._stopping = threading.Event()
        # Daemons, so that a process whose main thread fails does not stay for their sake.
        self._threads = [
            threading.Thread(target=self._run, name=f"validation-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to work."""
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """Let every thread finish the challenge at hand, which its time limits end soon."""
        self._stopping.set()
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                if self._validate_once():
                    pause = FIRST_PAUSE
                    continue
                wait, pause = pause, min(pause + FIRST_PAUSE, LONGEST_PAUSE)
            except CaError as error:
                log.warning("validation.postponed", reason=error.detail, rule_ids=error.rule_ids)
                wait = PAUSE_AFTER_FAILURE
            except Exception:
                log.exception("validation.bug")
                wait = PAUSE_AFTER_FAILURE
            self._stopping.wait(wait)
