"""The worker: one thread that does what is due, beat by beat, and survives what goes wrong in a job."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import structlog

from ca_server.core.errors import CaError
from ca_server.hsm.port import SignatureUnknown

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `every` seconds; `run` is idempotent and leaves a stable state behind."""

    name: str
    every: float
    run: Callable[[], object]


class Worker:
    """Runs jobs in turn until told to stop; a job that fails is tried again at its next beat."""

    def __init__(self, jobs: list[Job], close: Callable[[], None]) -> None:
        self._jobs = jobs
        self._close = close
        self._stopping = False

    def run(self) -> None:
        """Work until SIGTERM or Ctrl-C, finishing the job at hand.

        Raises:
            SystemExit: status 70, a token may or may not have signed; the next process starts with recovery.
        """
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._stop)
        try:
            self._work()
        except SignatureUnknown as error:
            log.critical("process.ends", reason=str(error))
            self._close_what_can_be()
            sys.exit(os.EX_SOFTWARE)
        self._close()

    def _work(self) -> None:
        due = {job.name: time.monotonic() for job in self._jobs}
        while not self._stopping:
            for job in self._jobs:
                if not self._stopping and time.monotonic() >= due[job.name]:
                    self._attempt(job)
                    due[job.name] = time.monotonic() + job.every
            time.sleep(TICK_SECONDS)

    def _close_what_can_be(self) -> None:
        """A token that lost a signature may not be fit to log out either; the process ends all the same."""
        try:
            self._close()
        except Exception:
            log.exception("worker.not_closed")

    def _attempt(self, job: Job) -> None:
        try:
            job.run()
        except SignatureUnknown:
            # The token may have signed: only a new process, starting with recovery, may go on.
            raise
        except CaError as error:
            log.warning("job.failed", job=job.name, reason=error.detail, rule_ids=error.rule_ids)
        except Exception:
            log.exception("job.bug", job=job.name)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
