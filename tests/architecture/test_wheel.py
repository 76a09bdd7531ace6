"""One wheel: three packages and the policies, nothing of the tests or of the operations folder."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile

import pytest

from tests.architecture.tree import PACKAGES, ROOT, name_of, tracked_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    [path] = folder.glob("sealkeeper-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_top_level_of_the_wheel(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    [information] = [name for name in top if name.endswith(".dist-info")]
    assert top == {*PACKAGES, information}
    assert f"{information}/licenses/LICENSE" in wheel.namelist()


def test_the_policies_travel_as_default_policies(wheel):
    prefix = "ca_server/default_policies/"
    shipped = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    kept = {name_of(path).removeprefix("policies/") for path in tracked_files()}
    assert shipped
    assert shipped == {name for name in kept if (ROOT / "policies" / name).is_file()}


def test_the_auditors_verifier_travels_and_its_digest_with_it(wheel):
    name = "ceremony/auditor/verify_ceremony.py"
    source = (ROOT / "ops/auditor/verify_ceremony.py").read_bytes()
    assert wheel.read(name) == source
    [record] = [each for each in wheel.namelist() if each.endswith(".dist-info/RECORD")]
    digest = base64.urlsafe_b64encode(hashlib.sha256(source).digest()).decode().rstrip("=")
    assert f"{name},sha256={digest},{len(source)}" in wheel.read(record).decode().split()


def test_every_python_file_ships(wheel):
    tracked = {name_of(path) for path in tracked_files() if name_of(path).split("/")[0] in PACKAGES}
    assert tracked - set(wheel.namelist()) == set()


def test_one_command(wheel):
    [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert wheel.read(entry_points).decode().split() == [
        "[console_scripts]",
        "sealkeeper",
        "=",
        "ca_server.cli:main",
    ]
