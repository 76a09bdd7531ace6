"""Documents swapped between a crash and going on, with the transcript made to fit: nothing is ever signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ca_server.core.errors import CaError
from ceremony import event
from ceremony.display import Display
from ceremony.documents import read_document, unsigned_twin
from tests.fixtures.certifying import HeldKind, PracticeRoom, ready

pytestmark = pytest.mark.hsm


class PowerCut(BaseException):
    """The process ends here without a word."""


class InterruptedRoom:
    """A ceremony whose power is cut before a step, and whose folder somebody then alters."""

    def __init__(self, room: PracticeRoom, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room, self.held, self.monkeypatch = room, HeldKind(folder), monkeypatch

    def cut(self, script: str, step_id: str) -> None:
        class Cut(Display):
            @contextmanager
            def step(self, number, total, step):
                if step.id == step_id:
                    raise PowerCut
                with super().step(number, total, step) as result:
                    yield result

        with self.monkeypatch.context() as patch:
            patch.setattr("ceremony.event.Display", Cut)
            with pytest.raises(PowerCut):
                self.room.hold(script)

    def swap(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Another file, its digest in the transcript, and every line after it chained anew."""
        file = self.held.file(path)
        before = file.read_bytes()
        after = change(before)
        assert after != before
        file.write_bytes(after)
        old, new = (hashlib.sha256(each).hexdigest() for each in (before, after))
        lines = json.loads(json.dumps(self.held.lines()).replace(old, new))
        previous = lines[0]["data"]["script_sha256"]
        encoded = []
        for line in lines:
            encoded.append(rfc8785.dumps({**line, "prev": previous}))
            previous = hashlib.sha256(encoded[-1]).hexdigest()
        self.held.file("transcript.jsonl").write_bytes(b"".join(line + b"\n" for line in encoded))

    def go_on(self) -> CaError:
        with self.room.tokens(), pytest.raises(CaError) as error:
            event.go_on(self.held.folder)
        return error.value

    def refused(self) -> None:
        error = self.go_on()
        stop = self.held.stop()
        assert (error.rule_ids, stop["rule_ids"], stop["failure"]) == (
            ("CEREMONY-TBS-SCRIPT",),
            ["CEREMONY-TBS-SCRIPT"],
            "F3",
        )


@pytest.fixture
def interrupted(practice_room, tmp_path, monkeypatch) -> InterruptedRoom:
    return InterruptedRoom(practice_room, tmp_path / "practice/ceremony-1", monkeypatch)


def another_root(held: HeldKind) -> bytes:
    """Another name, lifetime and key usage for the key that was made here."""
    public_key = load_der_public_key(held.file("keys/root-r1.spki").read_bytes())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Evil Corp"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "REHEARSAL Evil Root"),
        ]
    )
    begins = datetime.fromisoformat(held.lines()[-1]["utc"])
    builder = x509.CertificateBuilder(
        name, name, public_key, x509.random_serial_number(), begins, begins + timedelta(days=25000)
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(ec.generate_private_key(ec.SECP384R1()), SHA384()).tbs_certificate_bytes


@pytest.mark.parametrize("step", ["lint-root-r1", "approve-root-r1"])
def test_another_root_under_the_same_name(interrupted, step):
    interrupted.cut(ready("root-generate"), step)
    evil = another_root(interrupted.held)
    interrupted.swap("tbs/root-r1.tbs", lambda _: evil)
    interrupted.refused()
    assert interrupted.held.signatures() == 0
    approvals = [line for line in interrupted.held.lines() if line["data"].get("gate") == "approve"]
    assert not approvals


def shifted(*, begin: timedelta, end: timedelta) -> Callable[[bytes], bytes]:
    def change(tbs: bytes) -> bytes:
        from ca_server.core.assemble import PLACEHOLDER, assemble_certificate

        certificate = x509.load_der_x509_certificate(assemble_certificate(tbs, PLACEHOLDER))
        for moment, by in (
            (certificate.not_valid_before_utc, begin),
            (certificate.not_valid_after_utc, end),
        ):
            old, new = (each.strftime("%y%m%d%H%M%SZ").encode() for each in (moment, moment + by))
            assert tbs.count(old) == 1
            tbs = tbs.replace(old, new)
        return tbs

    return change


@pytest.mark.parametrize(
    "change",
    [
        shifted(begin=timedelta(0), end=timedelta(days=1)),
        shifted(begin=-timedelta(days=1), end=-timedelta(days=1)),
        shifted(begin=timedelta(days=1), end=timedelta(days=1)),
        lambda _: b"0",
        lambda _: b"",
    ],
    ids=["longer", "earlier", "later", "cut", "empty"],
)
def test_other_times_or_no_certificate_at_all(interrupted, change):
    interrupted.cut(ready("root-generate"), "approve-root-r1")
    interrupted.swap("tbs/root-r1.tbs", change)
    interrupted.refused()
    assert interrupted.held.signatures() == 0


def test_another_serial_number_is_not_the_scripts_business_but_seen(interrupted):
    interrupted.cut(ready("root-generate"), "approve-root-r1")

    def renumbered(tbs: bytes) -> bytes:
        document = read_document(interrupted.held.file("tbs/root-r1.json").read_bytes())
        serial = x509.load_der_x509_certificate(unsigned_twin(document, tbs)).serial_number
        octets = serial.to_bytes(20)
        return tbs.replace(octets, octets[:-1] + bytes([octets[-1] ^ 1]), 1)

    interrupted.swap("tbs/root-r1.tbs", renumbered)
    with interrupted.room.tokens():
        held = event.go_on(interrupted.held.folder)
    assert held.outcome == "completed"


def described(**changes: object) -> Callable[[bytes], bytes]:
    return lambda data: rfc8785.dumps({**json.loads(data), **changes})


@pytest.mark.parametrize(
    "change",
    [
        described(product="../../escaped.cer"),
        described(issuer="authorities/root-r2.cer"),
        described(algorithm="ecdsa-sha256"),
        described(key="root-r2"),
        described(kind="crl"),
        described(lies=True),
        lambda _: b"{",
    ],
    ids=["product", "issuer", "algorithm", "key", "kind", "lies", "torn"],
)
def test_a_description_that_says_something_else(interrupted, change):
    interrupted.cut(ready("root-generate"), "approve-root-r1")
    interrupted.swap("tbs/root-r1.json", change)
    interrupted.refused()
    assert interrupted.held.signatures() == 0


def test_a_crl_that_lasts_longer(interrupted):
    interrupted.cut(ready("root-generate"), "approve-root-r1-crl")

    def longer(tbs: bytes) -> bytes:
        document = read_document(interrupted.held.file("tbs/root-r1-crl.json").read_bytes())
        ends = x509.load_der_x509_crl(unsigned_twin(document, tbs)).next_update_utc
        old, new = (each.strftime("%y%m%d%H%M%SZ").encode() for each in (ends, ends + timedelta(days=900)))
        return tbs.replace(old, new)

    interrupted.swap("tbs/root-r1-crl.tbs", longer)
    interrupted.refused()
    assert interrupted.held.signatures() == 1


def test_a_request_for_another_name(interrupted):
    interrupted.cut(ready("subordinate-key"), "approve-issuing-i2")
    interrupted.swap("tbs/issuing-i2.tbs", lambda tbs: tbs.replace(b"Issuing CA I2", b"Issuing CA I9"))
    interrupted.refused()
    assert interrupted.held.signatures() == 0
