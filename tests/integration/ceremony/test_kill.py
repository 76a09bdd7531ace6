"""kill -9 at each line of a transcript, then resume: one key, one certificate, and a bundle that verifies."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ca_server.core.bundle import read_bundle
from ca_server.core.ceremony.verify import verify_ceremony
from ceremony.independent import run_independent
from tests.fixtures.commands import run, sealkeeper
from tests.fixtures.softhsm import MODULE_PLACES

pytestmark = [pytest.mark.hsm, pytest.mark.slow, pytest.mark.timeout(900)]

# The other verifier takes a second a bundle, so it looks at every so manieth.
INDEPENDENT_EVERY = 9


@dataclass(frozen=True)
class Place:
    """A room with tokens, and the script that is held in it."""

    script: Path
    room: Path
    inputs: tuple[str, ...] = ()

    def bundle(self) -> Path:
        return self.directory / "bundle.tar"

    @property
    def directory(self) -> Path:
        return self.room.parent / "held"

    def keep_tokens(self) -> None:
        shutil.copytree(self.room / "tokens", self.room / "tokens.kept")


def printed(kind: str, folder: Path) -> Path:
    script = folder / f"{kind}.toml"
    script.write_text(sealkeeper("ceremony", "script", kind).stdout)
    return script


@pytest.fixture
def root_generate(tmp_path) -> Place:
    """Empty tokens: what a ceremony on them, thrown away, has left but for its keys."""
    script, room = printed("root-generate", tmp_path), tmp_path / "room"
    sealkeeper(
        "ceremony", "rehearse", str(script), "--directory", str(tmp_path / "first"), "--room", str(room)
    )
    empty_tokens(room)
    place = Place(script, room)
    place.keep_tokens()
    return place


def empty_tokens(room: Path) -> None:
    """Take every object out of the tokens; SoftHSM keeps each in a file of its own beside `token.object`."""
    for path in (room / "tokens").glob("*/*"):
        if path.name not in {"token.object", "token.lock", "generation"}:
            path.unlink()


@pytest.fixture
def intermediate_sign(tmp_path) -> Place:
    """A root made before, in the same room."""
    root, script, room = (
        printed("root-generate", tmp_path),
        printed("intermediate-sign", tmp_path),
        tmp_path / "room",
    )
    made, key = tmp_path / "first", printed("subordinate-key", tmp_path)
    sealkeeper("ceremony", "rehearse", str(root), "--directory", str(made), "--room", str(room))
    asked = tmp_path / "second"
    sealkeeper("ceremony", "rehearse", str(key), "--directory", str(asked), "--room", str(room))
    place = Place(
        script,
        room,
        (
            f"root-r1={made}/files/authorities/root-r1.cer",
            f"issuing-i2-csr={asked}/files/csrs/issuing-i2.csr",
        ),
    )
    place.keep_tokens()
    return place


@pytest.mark.parametrize(("kind", "keys"), [("root_generate", 1), ("intermediate_sign", 0)])
def test_after_a_kill_at_any_line_there_is_one_key_and_one_certificate(kind, keys, request):
    place = request.getfixturevalue(kind)
    with Driver(place) as driver:
        assert driver.hold(0, "after") == {
            "line": 0,
            "after": True,
            "killed": False,
            "first": 0,
            "resumed": None,
        }
        lines = len((place.directory / "files/transcript.jsonl").read_bytes().splitlines())
        assert lines > 30
        cases = [(number, when) for number in range(1, lines + 1) for when in ("before", "after")]
        for count, (number, when) in enumerate(cases):
            result = driver.hold(number, when)
            assert result["killed"], result
            assert result["resumed"] == 0, result
            bundle = read_bundle(place.bundle().read_bytes())
            _, transcript = verify_ceremony(bundle)
            assert transcript[-1].data == {"outcome": "completed"}, result
            assert len(bundle.keys) == keys, result
            assert len([name for name in bundle.files if name.startswith("authorities/")]) == 1, result
            assert private_keys(place.room) == 1, result
            if count % INDEPENDENT_EVERY == 0:
                code, report = run_independent(place.bundle(), bundle.sha256)
                assert code == 0, (result, report)


def test_after_a_kill_at_any_line_an_abort_ends_in_a_bundle_that_verifies(root_generate):
    with Driver(root_generate) as driver:
        driver.hold(0, "after")
        lines = (root_generate.directory / "files/transcript.jsonl").read_text().splitlines()
        close = next(number for number, line in enumerate(lines, 1) if '"step":"close"' in line)
        for number in range(2, close, 2):
            result = driver.hold(number, "after", "abort")
            assert result["resumed"] == 0, result
            bundle = read_bundle(root_generate.bundle().read_bytes())
            _, transcript = verify_ceremony(bundle)
            assert transcript[-1].data["outcome"] in {"aborted-clean", "aborted-dirty"}, result
            code, report = run_independent(root_generate.bundle(), bundle.sha256)
            assert code == 0, (result, report)


def private_keys(room: Path) -> int:
    """How many private keys the root's token holds, asked by a tool of others."""
    module = next(place for place in MODULE_PLACES if Path(place).exists())
    done = run(
        *("pkcs11-tool", "--module", module, "--token-label", "REHEARSAL-root", "--login"),
        *("--pin", (room / "pins/root").read_text().strip(), "--list-objects", "--type", "privkey"),
        SOFTHSM2_CONF=str(room / "softhsm2.conf"),
    )
    return done.stdout.count("Private Key Object")


class Driver:
    """`tests.integration.ceremony.killing` as a process."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __enter__(self):
        command = [sys.executable, "-m", "tests.integration.ceremony.killing", *self.place.inputs]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(30) == 0

    def hold(self, number: int, when: str, then: str = "resume") -> dict:
        place = self.place
        self.process.stdin.write(f"{place.script} {place.directory} {place.room} {number} {when} {then}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())
