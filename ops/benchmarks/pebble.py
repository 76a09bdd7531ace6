"""Debian's Pebble and its DNS server, started and stopped by the benchmark, losing no time on purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.benchmarks.appliance import free_ports
from ops.benchmarks.connection import Connection

# It does not sleep before validations, refuses no good nonce, and always reuses a valid authorization.
SETTINGS = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "100"}
START_SECONDS = 20


@contextmanager
def dns_server(folder: Path) -> Iterator[str]:
    """`pebble-challtestsrv` for DNS alone: every name is 127.0.0.1. Gives HOST:PORT."""
    port, management = free_ports(2)
    command = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{port}", "-management", f"127.0.0.1:{management}"]
    command += ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
    with _running(command, folder / "challtestsrv.log", {}):
        yield f"127.0.0.1:{port}"


@contextmanager
def pebble(folder: Path, resolver: str, http01_port: int) -> Iterator[tuple[str, Path]]:
    """A running Pebble; gives its directory's URL and the root to trust for TLS."""
    port, management, tls_port = free_ports(3)
    roots, key = _own_certificate(folder)
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(roots),
        "privateKey": str(key),
        "httpPort": http01_port,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    file = folder / "pebble.json"
    file.write_text(json.dumps({"pebble": config}))
    command = ["pebble", "-config", str(file), "-dnsserver", resolver]
    directory = f"https://localhost:{port}/dir"
    with _running(command, folder / "pebble.log", SETTINGS):
        _wait_until_it_answers(directory, roots)
        yield directory, roots


def installed() -> bool:
    """Whether both programs of Debian's package are here."""
    return bool(shutil.which("pebble") and shutil.which("pebble-challtestsrv"))


def _own_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed TLS certificate for localhost and its key, as OpenSSL makes them."""
    certificate, key = folder / "pebble.pem", folder / "pebble.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@contextmanager
def _running(command: list[str], log_file: Path, settings: dict[str, str]) -> Iterator[None]:
    with log_file.open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_answers(url: str, roots: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            Connection(url, roots).ask("GET", url)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
