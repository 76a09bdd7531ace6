"""Starts the demo's processes as a service manager would, and stops them all."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
import urllib.request
from http import HTTPStatus
from pathlib import Path

from ca_server.cli.demo.layout import Layout
from ca_server.core.errors import CaError, Kind

READY_SECONDS = 60


class Processes:
    """The processes of one demo, each with its log file."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self._running.items()}

    def start(self, name: str, *arguments: str) -> None:
        """Start one `sealkeeper` process that stays."""
        with self.log_file(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                sealkeeper(*arguments),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._layout.environment(),
                start_new_session=True,
            )

    def log_file(self, name: str) -> Path:
        """Where a process writes its log."""
        return self._layout.directory / "logs" / f"{name}.log"

    def wait_until_ready(self, urls: list[str]) -> None:
        """Wait until every URL answers 200.

        Raises:
            CaError: unavailable; a process ended or did not get ready, with the end of its log.
        """
        deadline = time.monotonic() + READY_SECONDS
        for url in urls:
            while not self._answers(url):
                ended = self.ended()
                if ended or time.monotonic() > deadline:
                    raise CaError(Kind.UNAVAILABLE, f"{url} does not get ready\n{self._logs(ended)}")
                time.sleep(0.1)

    def ended(self) -> list[str]:
        """The names of processes that are not running any more."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def stop(self) -> None:
        """Ask all to end, and wait until they did."""
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            try:
                process.wait(READY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                print(f"{name} did not stop in time and was killed", file=sys.stderr)  # noqa: T201

    def _answers(self, url: str) -> bool:
        roots = str(self._layout.roots)
        context = ssl.create_default_context(cafile=roots) if url.startswith("https:") else None
        try:
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:  # noqa: S310 - our own URL
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def _logs(self, names: list[str]) -> str:
        tails = []
        for name in names or self._running:
            lines = self.log_file(name).read_text(errors="replace").splitlines()[-15:]
            tails.append(f"--- {name}\n" + "\n".join(lines))
        return "\n".join(tails)


def sealkeeper(*arguments: str) -> list[str]:
    """The command line of this very installation."""
    return [sys.executable, "-m", "ca_server.cli", *arguments]
