"""A live log against verifiers that are not ours."""

from __future__ import annotations

import base64
import hashlib
import subprocess

import pytest

from ca_server.services.audit_reading import AuditReader
from tests.conformance.audit.independent import verify_with_go, verify_with_openssl
from tests.fakes.audit_log import AuditLog
from tests.fakes.served_log import served


@pytest.fixture
def log(database, tmp_path):
    return AuditLog(database, tmp_path)


def test_go_verifies_a_log_that_grew_over_two_levels_of_tiles(log):
    bodies = [event.body for event in log.add(259)]
    log.sequence_all()
    older = AuditReader(log.database).checkpoint()
    bodies += [event.body for event in log.add(500)]
    log.sequence_all()
    indexes = [0, 1, 2, 127, 128, 255, 256, 259, 260, 511, 512, 758, 759]
    with served(log) as url:
        verdict = verify_with_go(url, log.vkey, indexes, older)
    assert verdict.size == 760
    assert set(verdict.entries) == set(indexes)
    for index in indexes[1:]:
        assert verdict.entries[index] == hashlib.sha256(bodies[index - 1]).hexdigest()


def test_go_verifies_the_smallest_log(log):
    log.sequence_all()
    with served(log) as url:
        assert verify_with_go(url, log.vkey, [0], AuditReader(log.database).checkpoint()).size == 1


def test_go_refuses_a_checkpoint_of_another_history(log):
    """So that the verifier is known to look."""
    log.add(5)
    log.sequence_all()
    note = AuditReader(log.database).checkpoint()
    line = note.split(b"\n")[2]
    forged_text = note.partition(b"\n\n")[0].replace(line, base64.b64encode(bytes(32))) + b"\n"
    key = log.key.verifier_key
    signature = base64.b64encode(key.key_id + log.signer.sign(forged_text, key.algorithm)).decode()
    forged = forged_text + f"\n— {key.name} {signature}\n".encode()
    with served(log) as url, pytest.raises(AssertionError, match="Go refuses"):
        verify_with_go(url, log.vkey, [0], forged)


def test_openssl_verifies_the_checkpoint(log):
    log.add(2)
    log.sequence_all()
    note = AuditReader(log.database).checkpoint()
    verify_with_openssl(note, log.vkey)
    with pytest.raises(AssertionError, match="OpenSSL refuses"):
        verify_with_openssl(note.replace(b"\n3\n", b"\n4\n"), log.vkey)


def test_openssl_is_new_enough():
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    assert int(version.split()[1].split(".")[0]) >= 3
