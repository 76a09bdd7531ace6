"""`sealkeeper serve`: the HTTPS door for clients and the plain HTTP door for what everyone may fetch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import structlog

from ca_server.cli import TOKEN_REFUSED
from ca_server.cli.options import config_option
from ca_server.config import Config, load_config
from ca_server.core.errors import CaError, Kind
from ca_server.hsm.port import HsmRefused
from ca_server.logs import configure_logs
from ca_server.serving import metrics_directory

log = structlog.get_logger(__name__)

DOORS = ("api", "publication")
RENEWAL_CHECK_SECONDS = 600
# A renewal waits up to 30 seconds for the token and as long for its signature; what takes longer hangs.
RENEWAL_SECONDS = 90
TICK_SECONDS = 0.2


@click.command()
@config_option
@click.option("--door", type=click.Choice(DOORS), help="Run this door alone, in this process.")
def command(config_file: Path, door: str | None) -> None:
    """Run the HTTPS and HTTP doors until SIGTERM or Ctrl-C.

    Without --door both run, each in a process of its own, and the server's own certificate is renewed in
    time. With --door, renewing it is left to `sealkeeper tls renew` and a timer.
    """
    config = load_config(config_file)
    if door:
        _run_door(config, door)
    _Supervisor(config_file).run()


def _run_door(config: Config, door: str) -> NoReturn:
    """Become one door. Metrics need their folder named before they are first imported."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_directory(config.state_directory, door))
    from ca_server.doors import DOORS as OPENERS  # noqa: PLC0415 - imports metrics, which need the line above

    OPENERS[door](config).run()  # type: ignore[no-untyped-call]
    sys.exit(0)


class _Supervisor:
    """Keeps both doors running together: when one ends, all end, and the service manager starts anew."""

    def __init__(self, config_file: Path) -> None:
        self._config_file = config_file
        self._stopping = False
        self._refused = False
        self._children: list[subprocess.Popen[bytes]] = []
        self._renewal: subprocess.Popen[bytes] | None = None
        self._renewal_deadline = 0.0

    def run(self) -> NoReturn:
        from ca_server.compose import SystemClock  # noqa: PLC0415 - the doors import it, not every --help

        configure_logs(SystemClock())
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._stop)
        self._renew_first()
        if not self._stopping:
            for door in DOORS:
                arguments = ["serve", "--config", str(self._config_file), "--door", door]
                self._children.append(self._start(arguments))
            self._watch()
        sys.exit(self._end())

    def _watch(self) -> None:
        """Renew in time, until a door ends or somebody says stop."""
        next_check = time.monotonic() + RENEWAL_CHECK_SECONDS
        while not self._stopping and all(child.poll() is None for child in self._children):
            time.sleep(TICK_SECONDS)
            if self._renewal:
                self._look_after_renewal()
            elif not self._refused and time.monotonic() >= next_check:
                self._start_renewal()
                next_check = time.monotonic() + RENEWAL_CHECK_SECONDS

    def _start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        # A session of its own keeps Ctrl-C to the supervisor, which then stops its children in order.
        return subprocess.Popen([sys.executable, "-m", "ca_server.cli", *arguments], start_new_session=True)

    def _start_renewal(self) -> None:
        """Get or renew the server's own certificate if that is due, in a process of its own."""
        self._renewal = self._start(["tls", "renew", "--config", str(self._config_file)])
        self._renewal_deadline = time.monotonic() + RENEWAL_SECONDS

    def _renewal_ended(self) -> bool:
        """Whether the renewal is over; one that hangs is ended here.

        Raises:
            HsmRefused: a token refused its PIN or lacks the key.
            CaError: unavailable; there is no new certificate for another reason.
        """
        if self._renewal is None:
            return True
        status = self._renewal.poll()
        if status is None and time.monotonic() < self._renewal_deadline:
            return False
        if status is None:
            self._renewal.kill()
            self._renewal.wait()
        self._renewal = None
        if status is None:
            raise CaError(Kind.UNAVAILABLE, f"a renewal took over {RENEWAL_SECONDS} seconds and was ended")
        if status == TOKEN_REFUSED:
            raise HsmRefused("a token refused its PIN or has no such key: see above")
        if status != 0:
            raise CaError(Kind.UNAVAILABLE, "the server's own certificate could not be issued: see above")
        return True

    def _renew_first(self) -> None:
        """No door opens before there is a certificate; whoever says stop does not wait for it."""
        self._start_renewal()
        while not self._stopping and not self._renewal_ended():
            time.sleep(TICK_SECONDS)

    def _look_after_renewal(self) -> None:
        """The certificate at hand is still good; a failure is told and tried again later.

        Not after a refused PIN, so that no token is locked by trying.
        """
        try:
            self._renewal_ended()
        except CaError as error:
            self._refused = isinstance(error, HsmRefused)
            log.warning("tls.renewal_failed", reason=error.detail)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> int:
        """Stop the renewal and both doors, and say whether that was asked for."""
        if self._renewal:
            self._renewal.kill()
            self._renewal.wait()
        failed = any(child.poll() not in (None, 0) for child in self._children)
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait()
        return 1 if failed and not self._stopping else 0
