"""Proof files: the form of C2SP tlog-proof, and what they prove."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from ca_server.core.audit.checkpoint import Checkpoint
from ca_server.core.audit.merkle import node_hash
from ca_server.core.audit.note import make_verifier_key, sign_note
from ca_server.core.audit.proofs import MAX_PROOF_BYTES, EventProof, parse_proof, verify_issuance
from ca_server.core.audit.record import Actor, leaf_hash, make_event
from ca_server.core.clock import from_epoch
from ca_server.core.errors import CaError

PRIVATE = ed25519.Ed25519PrivateKey.generate()
KEY = make_verifier_key("example.com/log", PRIVATE.public_key())
CERTIFICATE = "c5" * 32


def event(kind: str = "issue.done", certificate: str = CERTIFICATE) -> bytes:
    data = {"authority": "i1", "serial": "01", "tbs_sha256": "02", "cert_sha256": certificate}
    if kind == "issue.abandoned":
        data["reason"] = "test"
    actor = Actor("process:test", "process", "system")
    sealed = make_event(
        event_id="e", kind=kind, time=from_epoch(1_800_000_000), node="n", actor=actor, data=data
    )
    return sealed.body


def proof_of(body: bytes) -> EventProof:
    """A tree of two leaves, the event being the second."""
    sibling = hashlib.sha256(b"sibling").digest()
    text = Checkpoint("example.com/log", 2, node_hash(sibling, leaf_hash(body))).text
    return EventProof(body, 1, (sibling,), sign_note(text, KEY, PRIVATE.sign(text)))


def test_the_form():
    proof = proof_of(event())
    lines = proof.encode().split(b"\n")
    assert lines[0] == b"c2sp.org/tlog-proof@v1"
    assert lines[1] == b"extra " + base64.b64encode(event())
    assert lines[2:5] == [b"index 1", base64.b64encode(proof.path[0]), b""]
    assert lines[5] == b"example.com/log"
    assert parse_proof(proof.encode()) == proof


def test_a_proof_without_path_is_one_of_a_single_leaf():
    body = event()
    text = Checkpoint("example.com/log", 1, leaf_hash(body)).text
    proof = EventProof(body, 0, (), sign_note(text, KEY, PRIVATE.sign(text)))
    assert parse_proof(proof.encode()).verify([KEY]).size == 1


def test_what_is_proven():
    assert verify_issuance(proof_of(event()), CERTIFICATE, [KEY]).size == 2
    for body, certificate in (
        (event(certificate="00" * 32), CERTIFICATE),
        (event("issue.abandoned"), CERTIFICATE),
        (event(), "00" * 32),
    ):
        with pytest.raises(CaError) as caught:
            verify_issuance(proof_of(body), certificate, [KEY])
        assert caught.value.rule_ids == ("AUDIT-PROOF",)


def test_another_event_or_place_is_not_proven():
    proof = proof_of(event())
    for forged in (
        EventProof(event(certificate="00" * 32), proof.index, proof.path, proof.checkpoint),
        EventProof(proof.event, 0, proof.path, proof.checkpoint),
        EventProof(proof.event, 1, (), proof.checkpoint),
    ):
        with pytest.raises(CaError) as caught:
            forged.verify([KEY])
        assert caught.value.rule_ids == ("AUDIT-INCLUSION",)
    stranger = make_verifier_key("example.com/log", ed25519.Ed25519PrivateKey.generate().public_key())
    with pytest.raises(CaError) as caught:
        proof.verify([stranger])
    assert caught.value.rule_ids == ("AUDIT-SIGNATURE",)


@pytest.mark.parametrize(
    "head",
    [
        "wrong-header\nextra eA==\nindex 0",
        "c2sp.org/tlog-proof@v2\nextra eA==\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra !!\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra eA\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra eA==",
        "c2sp.org/tlog-proof@v1\nextra eA==\nindex nothing",
        "c2sp.org/tlog-proof@v1\nextra eA==\nindex -5",
        "c2sp.org/tlog-proof@v1\nextra eA==\nindex 05",
        "c2sp.org/tlog-proof@v1\nextra eA==\nindex 0\n!!",
        "c2sp.org/tlog-proof@v1\nextra eA==\nindex 0\n" + base64.b64encode(bytes(64)).decode(),
        "c2sp.org/tlog-proof@v1\nindex 0\nextra eA==",
        "c2sp.org/tlog-proof@v1\r\nextra eA==\r\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra eA==\nindex 0\n\u0661",
    ],
)
def test_other_forms_are_refused(head):
    with pytest.raises(CaError) as caught:
        parse_proof(f"{head}\n\ncheckpoint\n".encode())
    assert caught.value.rule_ids == ("AUDIT-PROOF",)


def test_a_proof_has_a_largest_size():
    with pytest.raises(CaError, match="bytes"):
        parse_proof(b"x" * (MAX_PROOF_BYTES + 1))
    with pytest.raises(CaError, match="empty line"):
        parse_proof(b"c2sp.org/tlog-proof@v1\nextra eA==\nindex 0\n")
