"""R33: a server's PKCS#7 is read by a process that may die, and nothing else dies with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca_server.cli.enroll.pkcs7 import MAX_CERTIFICATES, MAX_MESSAGE_BYTES, read_certificates
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.certs_only import certs_only
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import make_issuer

CERTIFICATES = [
    make_issuer().certificate,
    make_issuer(days=5).certificate,
    make_issuer(key_type=KeyType.ED25519).certificate,
]
MESSAGE = certs_only(CERTIFICATES)


def refused(message):
    with pytest.raises(CaError) as caught:
        read_certificates(message)
    assert caught.value.kind is Kind.INTERNAL
    return caught.value.detail


def test_the_certificates_of_a_message():
    assert set(read_certificates(MESSAGE)) == set(CERTIFICATES)


def test_a_message_of_openssl(tmp_path):
    (tmp_path / "all.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in CERTIFICATES))
    made = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "all.pem", "-outform", "DER"]
    run = subprocess.run(made, cwd=tmp_path, capture_output=True, check=True)
    assert read_certificates(run.stdout) == CERTIFICATES


def test_no_more_than_a_hundred_are_taken():
    many = [make_issuer(days).certificate for days in range(1, MAX_CERTIFICATES + 11)]
    assert len(read_certificates(pkcs7.serialize_certificates(many, Encoding.DER))) == MAX_CERTIFICATES


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"0",
        b"-----BEGIN PKCS7-----\n",
        MESSAGE[:-1],
        MESSAGE.replace(b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"),
        b"\x30\x80" * 500_000,
        b"\x30\x84\xff\xff\xff\xff" + bytes(1000),
        bytes(MAX_MESSAGE_BYTES),
    ],
)
def test_r33_what_is_no_message_is_refused(message):
    assert "is no PKCS#7 with certificates" in refused(message)


def test_r33_a_message_is_measured_before_it_is_read():
    assert f"more than {MAX_MESSAGE_BYTES} bytes" in refused(bytes(MAX_MESSAGE_BYTES + 1))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, len(MESSAGE) - 1), st.binary(min_size=1, max_size=8)),
        min_size=1,
        max_size=4,
    )
)
def test_r33_a_spoiled_message_gives_certificates_or_one_kind_of_error(changes):
    spoiled = bytearray(MESSAGE)
    for start, octets in changes:
        spoiled[start : start + len(octets)] = octets
    try:
        outcome = len(read_certificates(bytes(spoiled)))
    except CaError as error:
        outcome = error.kind
    assert outcome in {1, 2, 3, Kind.INTERNAL}


def signalled(number):
    """Read a message, and send a signal to whichever process does it."""
    before = children()

    def strike():
        while not (found := children() - before):
            time.sleep(0.001)
        os.kill(found.pop(), number)

    striker = threading.Thread(target=strike)
    striker.start()
    try:
        return refused(MESSAGE)
    finally:
        striker.join()


def children():
    own = Path("/proc/self/task")
    return {int(each) for task in own.iterdir() for each in (task / "children").read_text().split()}


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_r33_only_the_process_that_reads_dies(number):
    """As it would of CVE-2023-49083, a crash in the parser itself."""
    assert signalled(number) == f"the server's answer ended the process that read it, by signal {int(number)}"
    assert set(read_certificates(MESSAGE)) == set(CERTIFICATES)


def test_r33_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr("ca_server.cli.enroll.pkcs7._PATIENCE", 1)
    before = children()
    assert "takes too long" in signalled(signal.SIGSTOP)
    assert children() == before


@pytest.mark.parametrize(
    ("greed", "ending"),
    [
        ("bytearray(1 << 30)", 1),
        ("exec('while True: pass')", -signal.SIGKILL),
        ("open('big', 'wb').write(bytes(8 << 20))", 1),
    ],
)
def test_r33_what_reads_has_little_memory_time_and_space(tmp_path, greed, ending):
    script = f"from ca_server.cli.enroll.pkcs7 import confine; confine(); {greed}"
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == ending
    written = tmp_path / "big"
    assert not written.exists() or written.stat().st_size <= 4 << 20
