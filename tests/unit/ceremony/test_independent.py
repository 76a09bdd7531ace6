"""The auditor's verifier as the product calls it."""

from __future__ import annotations

import hashlib
import sys

import pytest

from ceremony import independent
from ceremony.close import pack_bundle
from ceremony.engine import run_ceremony
from ceremony.independent import run_independent, verifier_path
from tests.fixtures.commands import sealkeeper
from tests.fixtures.hand_made_bundle import Ceremony, Officers


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "bundle.tar"
    path.write_bytes(Ceremony(Officers()).hold())
    return path


def test_it_is_there():
    assert verifier_path().is_file()


def test_a_good_bundle(bundle):
    code, lines = run_independent(bundle, hashlib.sha256(bundle.read_bytes()).hexdigest())
    assert code == 0
    assert lines.splitlines()[-1].startswith("good: ")


def test_another_digest_than_the_one_given(bundle):
    code, lines = run_independent(bundle, "0" * 64)
    assert code == 1
    assert "BAD the archive has the SHA-256 given" in lines


def test_no_bundle_is_not_good(tmp_path):
    code, lines = run_independent(tmp_path / "none.tar", None)
    assert code == 2
    assert lines.startswith("?")


def test_no_verifier_is_not_good(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(independent, "verifier_path", lambda: tmp_path / "gone.py")
    assert run_independent(bundle, None)[0] == 2


def test_no_python_is_not_good(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    code, lines = run_independent(bundle, None)
    assert code == 2
    assert "did not answer" in lines


def test_what_only_the_stranger_finds_wrong_is_not_good_either(small):
    with small.room() as room:
        run_ceremony(room)
        digest = pack_bundle(room)
    good = sealkeeper("ceremony", "verify", str(small.folder.bundle))
    assert good.stdout == digest + "\n"
    other = ("--roster-sha256", "0" * 64)
    done = sealkeeper("ceremony", "verify", str(small.folder.bundle), *other, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "BUNDLE-INDEPENDENT" in done.stderr
