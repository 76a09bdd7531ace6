"""What the auditor's page tells people to type: tar, sha256sum, ssh-keygen, openssl, a walk of ten lines."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conformance.ceremony.test_auditor import lines_of, rechain
from tests.fixtures.hand_made_bundle import Ceremony, Officers, Production, pack, unpack

PAGE = Path(__file__).parents[3] / "ops/auditor/README.md"
PARTS = re.findall(r"^### \d\. (.*?)\n.*?^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
UNPACK, WALK, HEADS, SIGNATURES, HSM, CHAIN = range(6)


@pytest.fixture(scope="module")
def good(officers):
    return Ceremony(officers).hold()


@pytest.fixture
def by_hand(tmp_path):
    """The first part of the page that fails on a bundle, and what it said; None where all pass."""

    def verify(data):
        (tmp_path / "bundle.tar").write_bytes(data)
        for number, (_, block) in enumerate(PARTS):
            command = ["sh", "-c", block]
            answer = subprocess.run(
                command,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
            )
            if answer.returncode:
                return number, answer.stdout + answer.stderr
        return None

    return verify


def test_the_page_has_six_parts_and_the_walk_has_ten_lines():
    assert len(PARTS) == 6
    assert [block.splitlines()[0] for _, block in PARTS] == ["set -e"] * 6
    assert len(PARTS[WALK][1].splitlines()[1:]) == 10


def test_an_honest_rehearsal(good, by_hand):
    assert by_hand(good) is None


def test_an_honest_production(officers, by_hand):
    assert by_hand(Production(officers).hold()) is None


def test_keys_of_ssh_keygen(tmp_path_factory, by_hand):
    assert by_hand(Ceremony(Officers(tmp_path_factory.mktemp("officers"))).hold()) is None


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("authorities/root.cer", UNPACK),
        ("keys.json", UNPACK),
        ("tbs/root.tbs", UNPACK),
        ("script.toml", UNPACK),
        ("allowed-signers", UNPACK),
        ("transcript.jsonl", WALK),
    ],
)
def test_one_altered_byte(good, by_hand, name, part):
    files = unpack(good)
    at = len(files[name]) // 2
    files[name] = files[name][:at] + bytes([files[name][at] ^ 1]) + files[name][at + 1 :]
    failed, words = by_hand(pack(files))
    assert failed == part
    assert part == WALK or name in words


def test_a_file_too_many(good, by_hand):
    assert by_hand(pack({**unpack(good), "evidence/more.txt": b"x"}))[0] == UNPACK


def test_a_file_beside_the_closing_signatures(good, by_hand):
    failed, words = by_hand(pack({**unpack(good), "gates/9999-close-x.txt": b"x"}))
    assert failed == UNPACK
    assert "gates/9999-close-x.txt" in words


def test_closing_signatures_that_were_swapped(good, by_hand):
    files = unpack(good)
    one, other = [name for name in files if re.fullmatch(r"gates/[0-9]+-close-.*\.sig", name)][:2]
    files[one], files[other] = files[other], files[one]
    assert by_hand(pack(files))[0] == SIGNATURES


@pytest.mark.parametrize("name", ["authorities/root.cer", "authorities/issuing.cer"])
def test_a_certificate_with_another_signature(officers, by_hand, name):
    class Altered(Ceremony):
        def close(self):
            der = self.files[name]
            self.files[name] = der[:-1] + bytes([der[-1] ^ 1])
            return super().close()

    failed, words = by_hand(Altered(officers).hold())
    assert failed == CHAIN
    assert "verification failed" in words


def test_a_line_that_was_dropped(officers, by_hand):
    class Deviated(Ceremony):
        deviations = 1
        outcome = "completed-with-deviations"

    files = unpack(Deviated(officers).hold())
    lines = [line for line in lines_of(files) if line["event"] != "deviation"]
    assert by_hand(pack(rechain(files, lines)))[0] == HEADS


def test_a_closing_that_was_written_anew(good, by_hand):
    files = unpack(good)
    files["closing.txt"] = files["closing.txt"].replace(b"outcome: completed", b"outcome: aborted-clean")
    failed, words = by_hand(pack(files))
    assert failed == SIGNATURES
    assert "closing.txt: FAILED" in words


def test_a_signature_of_somebody_else(officers, by_hand):
    class Borrowed(Ceremony):
        def gate(self, gate, step, role, person, subject="-"):
            keys = self.officers.keys
            self.officers.keys = {**keys, "eve": keys["dan"]}
            super().gate(gate, step, role, person, subject)
            self.officers.keys = keys

    assert by_hand(Borrowed(officers).hold())[0] == SIGNATURES


def test_a_product_that_nobody_approved(officers, by_hand):
    class Slipped(Ceremony):
        def close(self):
            other = type("Other", (Ceremony,), {"prefix": "REHEARSAL Another "})(self.officers)
            self.files["certificates/extra.cer"] = other.document("issuing").der
            return super().close()

    failed, words = by_hand(Slipped(officers).hold())
    assert failed == HSM
    assert "certificates/extra.cer" in words
