"""Debian's challenge test server: the DNS of the laboratory, and the answerer of challenges for libraries."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.request
from itertools import count
from pathlib import Path
from typing import Any

from tests.fixtures.appliance import free_port
from tests.fixtures.commands import missing_tool

PROGRAM = "pebble-challtestsrv"
PATIENCE = 10.0
# Each client listens on an address of its own: 127.0.0.0/8 is all this machine.
FIRST_ADDRESS = 2


class Answerer:
    """A running pebble-challtestsrv. Names that nobody pointed elsewhere have the address 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.http_port, self.tls_port, self.dns_port, self._management = (free_port() for _ in range(4))
        self._numbers = count(FIRST_ADDRESS)
        self._lock = threading.Lock()
        local = "127.0.0.1"
        command = [PROGRAM, "-defaultIPv4", local, "-defaultIPv6", "", "-https01", ""]
        command += ["-dns01", f"{local}:{self.dns_port}", "-http01", f"{local}:{self.http_port}"]
        command += ["-tlsalpn01", f"{local}:{self.tls_port}", "-management", f"{local}:{self._management}"]
        with (folder / "challtestsrv.log").open("wb") as log:
            try:
                self._process = subprocess.Popen(command, stdout=log, stderr=log)
            except FileNotFoundError:
                missing_tool(PROGRAM)
        self._wait()

    @property
    def url(self) -> str:
        """Where its DNS records and answers are set."""
        return f"http://127.0.0.1:{self._management}"

    def tell(self, path: str, record: dict[str, Any]) -> None:
        """Set a record, as in its manual page: `set-txt`, `add-a`, `add-caa`, `add-http01`."""
        body = json.dumps(record).encode()
        with urllib.request.urlopen(f"{self.url}/{path}", body, timeout=10) as answer:
            assert answer.status == 200

    def new_address(self) -> str:
        with self._lock:
            number = next(self._numbers)
        return f"127.0.{number // 250 + 1}.{number % 250 + 1}"

    def point(self, name: str, address: str) -> None:
        self.tell("add-a", {"host": f"{name}.", "addresses": [address]})

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.tell("clear-txt", {"host": "ready.test."})
            except OSError:
                assert self._process.poll() is None, "pebble-challtestsrv ended"
                assert time.monotonic() < deadline, "pebble-challtestsrv does not answer"
                time.sleep(0.05)
            else:
                return
