"""Honest ceremonies, and what the auditor's verifier finds wrong in a bundle."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tests.conformance.ceremony.auditing import VERIFIER, run
from tests.fixtures.hand_made_bundle import Ceremony, Officers


@pytest.fixture(scope="module")
def officers():
    return Officers()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """With keys of ssh-keygen: Ed25519, ECDSA and RSA."""
    return Ceremony(Officers(tmp_path_factory.mktemp("officers"))).hold()


@pytest.fixture(scope="module")
def verifier():
    spec = importlib.util.spec_from_file_location("verify_ceremony", VERIFIER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def judge(tmp_path):
    def verify(data, *options):
        path = tmp_path / "bundle.tar"
        path.write_bytes(data)
        answer = run(path, "--json", *options)
        assert answer.stderr == ""
        result = json.loads(answer.stdout)
        assert result["exit"] == answer.returncode
        found = [(each["check"], each["detail"]) for each in result["findings"] if each["state"] == "BAD"]
        assert (answer.returncode == 1) == bool(found)
        return found

    return verify
