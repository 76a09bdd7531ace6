"""A process that does nothing but validate, to be killed: it is told a database, a DNS server and a time.

Its clock runs on from the time that it is given, and a lease is short, so that a test need not wait long.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from ca_server.core.acme.settings import AcmeConfig, AcmeValidation
from ca_server.services.acme import validate
from ca_server.services.acme.challenge_checks import Prober
from ca_server.services.context import Context
from ca_server.store.engine import Database
from ca_server.validation import ValidationThreads

LEASE_SECONDS = 3


class RunningClock:
    """Keeps the contract of `core.clock.Clock`, from a start of its own."""

    def __init__(self, start: int) -> None:
        self._start = datetime.fromtimestamp(start, UTC)
        self._begun = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=int(time.monotonic() - self._begun))


def main(url: str, resolver: str, start: str, node: str) -> None:
    validate.LEASE_SECONDS = LEASE_SECONDS
    settings = AcmeConfig(caa_identities=("ca.test",), validation=AcmeValidation(resolvers=(resolver,)))
    context = Context(clock=RunningClock(int(start)), database=Database(url), node=node)
    prober = Prober(settings, loopback=False)
    threads = ValidationThreads(partial(validate.validate_once, context, prober.check, settings), 2)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    threads.start()
    stop.wait()
    threads.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
