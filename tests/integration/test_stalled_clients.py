"""A client that stops in the middle of something loses its connection, and the thread serves others."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ca_server.patience import PatientSocket, PatientTLSSocket
from tests.fakes.small_door import ANSWER, THREADS
from tests.fixtures.appliance import free_port
from tests.fixtures.https import self_signed

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1.0
# Its patience, the two seconds in which gunicorn waits for a client to close, and a slow machine.
SOON = PATIENCE + 2 + 5

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
STALLS = {
    "in the head": HEAD,
    "in the body": HEAD + b"Content-Length: 10\r\n\r\n12345",
    "in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\na\r\n12345",
    "not reading": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@dataclass
class SmallDoor:
    port: int
    context: ssl.SSLContext | None
    log: Path

    def plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def connect(self) -> socket.socket:
        return (
            self.context.wrap_socket(self.plain(), server_hostname="127.0.0.1")
            if self.context
            else self.plain()
        )

    def post(self) -> bytes:
        with self.connect() as client:
            client.sendall(HEAD + b"Content-Length: 5\r\nConnection: close\r\n\r\n12345")
            return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture(params=["http", "https"])
def door(request, tmp_path):
    """Both kinds of door, ready, and without a traceback in the log at the end."""
    port = free_port()
    files, context = (), None
    if request.param == "https":
        files = self_signed(tmp_path)
        context = ssl.create_default_context(cafile=files[0])
    small = SmallDoor(port, context, tmp_path / "door.log")
    command = [sys.executable, "-m", "tests.fakes.small_door", f"127.0.0.1:{port}", str(PATIENCE)]
    with small.log.open("wb") as log:
        process = subprocess.Popen(
            [*command, *map(str, files)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                assert small.post().endswith(b"\r\n\r\n5")
                break
            time.sleep(0.1)
        yield small
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0
    assert "Traceback" not in small.log.read_text(), small.log.read_text()


def require_served_soon(door: SmallDoor, stalled: list[socket.socket]) -> None:
    began = time.monotonic()
    assert door.post().endswith(b"\r\n\r\n5")
    assert time.monotonic() - began < SOON
    for client in stalled:
        with contextlib.suppress(ConnectionResetError):
            # What came before the end is read away; without an end this waits until its own limit.
            while client.recv(1 << 20):
                pass


@pytest.mark.parametrize("stall", STALLS)
def test_stalled_clients_on_every_thread_do_not_keep_others_out(door, stall):
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(door.connect()) for _ in range(THREADS)]
        for client in stalled:
            client.sendall(STALLS[stall])
        time.sleep(0.3)
        require_served_soon(door, stalled)


def test_a_client_that_stops_in_its_first_bytes_is_let_go(door):
    """Over TLS that is in the handshake."""
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(door.plain()) for _ in range(THREADS)]
        for client in stalled:
            client.sendall(b"\x16\x03\x01")
        time.sleep(0.3)
        require_served_soon(door, stalled)


def test_a_byte_now_and_then_does_not_buy_more_time(door):
    with door.connect() as client:
        began = time.monotonic()
        client.sendall(HEAD + b"X: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError, ssl.SSLError)):
            while time.monotonic() - began < 2 * SOON:
                client.sendall(b"x")
                time.sleep(PATIENCE / 5)
        assert time.monotonic() - began < SOON


def test_an_answer_that_is_read_arrives_whole(door):
    with door.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        came = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert came.endswith(b"\r\n\r\n" + ANSWER)


def test_a_kept_connection_has_its_time_for_each_request(door):
    with door.connect() as client:
        for _ in range(3):
            client.sendall(HEAD + b"Content-Length: 5\r\n\r\n12345")
            came = b""
            while not came.endswith(b"\r\n\r\n5"):
                more = client.recv(65536)
                assert more
                came += more
            time.sleep(PATIENCE * 0.7)


def test_the_time_of_a_request_is_fifteen_seconds():
    assert (PatientSocket.seconds, PatientTLSSocket.seconds) == (15.0, 15.0)
