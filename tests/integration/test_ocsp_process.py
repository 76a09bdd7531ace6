"""The responder's process: a revocation within seconds, a token and a database away, metrics, a clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_server.core.authorization import Principal, Role
from ca_server.services.revoke import release_certificate, revoke_certificate
from tests.fakes.clock import SetClock

OFFICER = Principal("token:officer", Role.OFFICER, "token")

pytestmark = pytest.mark.hsm


@pytest.fixture
def clock():
    return SetClock(datetime.now(UTC).replace(microsecond=0))  # noqa: TID251


def ask(responder, leaf) -> str:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        leaf.certificate, responder.hierarchy.issuer, hashes.SHA256()
    )
    request = urllib.request.Request(responder.url, builder.build().public_bytes(Encoding.DER))
    with urllib.request.urlopen(request, timeout=20) as answer:
        response = ocsp.load_der_ocsp_response(answer.read())
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return response.response_status.name
    return response.certificate_status.name


def wait_for(responder, leaf, expected: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (told := {ask(responder, leaf) for _ in range(6)}) != {expected}:
        assert time.monotonic() < deadline, told
        time.sleep(0.1)


def test_revocation_and_release_are_told_within_seconds(running_responder):
    hierarchy = running_responder.hierarchy
    leaf = hierarchy.issue()
    wait_for(running_responder, leaf, "GOOD", 1)
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "certificateHold")
    wait_for(running_responder, leaf, "REVOKED", 5)
    release_certificate(hierarchy.context, OFFICER, leaf.id)
    wait_for(running_responder, leaf, "GOOD", 5)


def test_a_token_taken_away_and_brought_back(running_responder):
    hierarchy = running_responder.hierarchy
    kept, fresh = hierarchy.issue("kept.example.test"), hierarchy.issue("fresh.example.test")
    wait_for(running_responder, kept, "GOOD", 1)
    running_responder.softhsm.take_away()
    wait_for(running_responder, fresh, "TRY_LATER", 10)
    running_responder.wait(503)
    running_responder.softhsm.bring_back()
    wait_for(running_responder, fresh, "GOOD", 20)
    running_responder.wait(200)
    assert "Traceback" not in running_responder.stderr()


def test_a_token_away_at_the_start_does_not_stop_the_process(running_responder):
    leaf = running_responder.hierarchy.issue()
    assert running_responder.stop() == 0
    running_responder.softhsm.take_away()
    with pytest.raises(AssertionError, match="never became 200"):
        start_briefly(running_responder)
    assert ask(running_responder, leaf) == "TRY_LATER"
    running_responder.softhsm.bring_back()
    wait_for(running_responder, leaf, "GOOD", 20)


def start_briefly(responder) -> None:
    import tests.fixtures.running_responder as fixture

    patience, fixture.PATIENCE = fixture.PATIENCE, 4
    try:
        responder.start()
    finally:
        fixture.PATIENCE = patience


def test_a_killed_worker_is_replaced(running_responder):
    leaf = running_responder.hierarchy.issue()
    pid = running_responder.process.pid
    workers = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    running_responder.wait(200)
    assert ask(running_responder, leaf) == "GOOD"


def test_metrics_are_the_sum_of_all_workers(running_responder):
    leaf = running_responder.hierarchy.issue()
    for _ in range(20):
        ask(running_responder, leaf)
    with urllib.request.urlopen(running_responder.url + "metrics") as answer:
        text = answer.read().decode()
    assert 'sealkeeper_ocsp_responses_total{status="good"} 20.0' in text
    assert 'sealkeeper_ocsp_sign_seconds_count{authority="issuing-1"}' in text


def test_r32_slow_clients_hold_nobody_up_and_are_hung_up_on(running_responder):
    """Each begins a request, of two workers, and never ends it."""
    leaf = running_responder.hierarchy.issue()
    address = urlsplit(running_responder.url)
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((address.hostname, address.port))) for _ in range(8)
        ]
        for number, each in enumerate(slow):
            each.sendall(begun + (b"\r\n0" if number % 2 else b""))
        start = time.monotonic()
        assert {ask(running_responder, leaf) for _ in range(8)} == {"GOOD"}
        assert time.monotonic() - start < 4
        for each in slow:
            each.settimeout(15)
            while each.recv(4096):
                pass


def test_a_refused_pin_ends_the_start_with_a_status_of_its_own(running_responder):
    """A service manager must not try again: the third wrong PIN locks many a token."""
    assert running_responder.stop() == 0
    (running_responder.softhsm.folder / "ocsp.pin").write_text("87654321")
    command = [
        sys.executable,
        "-m",
        "ca_server.cli",
        "ocsp",
        "serve",
        "--config",
        str(running_responder.config),
    ]
    environment = os.environ | running_responder.softhsm.environment
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 6, run.stderr
    assert "refused the PIN" in run.stderr
    assert "Traceback" not in run.stderr
    assert "87654321" not in run.stderr


def test_it_ends_cleanly_and_leaves_no_secret_behind(running_responder):
    pin = (running_responder.softhsm.folder / "ocsp.pin").read_text().strip()
    ask(running_responder, running_responder.hierarchy.issue())
    assert running_responder.stop() == 0
    assert pin not in running_responder.stderr()
