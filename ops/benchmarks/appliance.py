"""A demo appliance in a temporary folder, started and stopped by the benchmark."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 300


@contextmanager
def appliance(folder: Path, *options: str, database_url: str | None = None) -> Iterator[dict[str, Any]]:
    """A running demo, with more options if need be; gives what its `demo.json` says."""
    folder.mkdir(exist_ok=True)
    ready = folder / "demo.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "ca_server.cli", "demo", "--dir", str(folder), *options]
    for option, port in zip(("--https-port", "--http-port", "--ocsp-port"), free_ports(3), strict=True):
        command += [option, str(port)]
    command += ["--database-url", database_url] if database_url else []
    with (folder / "bench-demo.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the demo did not start: see {folder}/bench-demo.log")
            time.sleep(0.2)
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def resident_megabytes(pid: int) -> dict[int, float]:
    """Resident memory of a process and all below it, in MiB."""
    found = {}
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        status = Path(f"/proc/{each}/status")
        if not status.exists():
            continue
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        found[each] = int(lines.get("VmRSS", "0 kB").split()[0]) / 1024
        for task in Path(f"/proc/{each}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def environment(demo: dict[str, Any]) -> dict[str, str]:
    """The environment in which the demo's tokens are found."""
    return {**os.environ, "SOFTHSM2_CONF": demo["softhsm2_conf"]}
