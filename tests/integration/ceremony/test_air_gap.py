"""A machine with the base wheel only, in a network namespace without interfaces: a whole ceremony."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.ceremony_terminal import ALONE, demand_no_network

pytestmark = [pytest.mark.hsm, pytest.mark.slow]

CHECKOUT = Path(__file__).parents[3]
BASE = CHECKOUT / ".venv-ceremony"


@pytest.fixture
def wheel(tmp_path) -> Path:
    """The wheel as it is built now, unpacked where nothing else is."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (built,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "wheel")
    return tmp_path / "wheel"


@pytest.fixture
def alone(wheel, tmp_path):
    """Runs `sealkeeper ceremony …` with the base dependencies, and no way out of the machine."""
    if not (BASE / "bin" / "python").exists():
        assert "CI" not in os.environ, "ops/bootstrap test makes .venv-ceremony"
        pytest.skip("there is no .venv-ceremony: ops/bootstrap test makes it")
    demand_no_network()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ALONE, str(BASE / "bin" / "python"), "-m", "ca_server.cli", "ceremony", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(wheel), "HOME": str(tmp_path)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )

    return run


def test_the_base_has_neither_server_nor_extras():
    if not BASE.exists():
        pytest.skip("there is no .venv-ceremony: ops/bootstrap test makes it")
    probe = "import importlib.util as u; print([n for n in {!r} if u.find_spec(n)])"
    names = [
        "flask",
        "sqlalchemy",
        "alembic",
        "gunicorn",
        "shamir_mnemonic",
        "jinja2",
        "weasyprint",
        "pytest",
    ]
    done = subprocess.run(
        [str(BASE / "bin" / "python"), "-I", "-c", probe.format(names)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_whole_ceremony_without_network_and_without_extras(alone, tmp_path):
    script = tmp_path / "script.toml"
    script.write_text(alone("script", "--public-url", "http://pki.example.com").stdout)
    done = alone("rehearse", str(script), "--directory", str(tmp_path / "room"))
    bundle = tmp_path / "room" / "bundle.tar"
    assert done.stdout == f"{bundle}\n"
    assert alone("verify", str(bundle)).returncode == 0
    assert "completed" in alone("status", str(tmp_path / "room")).stdout


def test_what_needs_an_extra_says_which(alone, tmp_path):
    script = tmp_path / "script.toml"
    script.write_text(alone("script").stdout)
    alone("rehearse", str(script), "--directory", str(tmp_path / "room"))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        alone("report", str(tmp_path / "room/bundle.tar"), "--out", str(tmp_path / "report.html"))
    assert "report" in failed.value.stderr
    assert "Traceback" not in failed.value.stderr
    shutil.rmtree(tmp_path / "room")
