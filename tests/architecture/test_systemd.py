"""The units: every box is closed, and what they start exists."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from ca_server.cli import command as sealkeeper
from tests.architecture.tree import ROOT

FOLDER = ROOT / "ops/systemd"
# Templates are for hosts that enrol; `test_systemd_enroll` looks at those.
SERVICES = sorted(path for path in FOLDER.glob("*.service") if "@" not in path.name)
MAX_EXPOSURE = 1.5
# Where each configuration file of a unit stands in the tree.
EXAMPLES = {"/etc/sealkeeper/server.toml": "server.toml", "/etc/sealkeeper/ocsp.toml": "ocsp.toml"}
BOXES = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "ProtectKernelModules=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "UMask=0077",
)

each_service = pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.stem)


def values_of(unit, key):
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


def test_the_target_wants_every_service():
    [wanted] = values_of(FOLDER / "sealkeeper.target", "Wants")
    assert sorted(wanted.split()) == [path.name for path in SERVICES]


@each_service
def test_the_box_is_closed(unit):
    lines = unit.read_text().splitlines()
    assert [box for box in BOXES if box not in lines] == []


@each_service
def test_it_starts_a_command_that_exists(unit):
    [start] = values_of(unit, "ExecStart")
    program, *arguments = start.split()
    assert program == "/opt/sealkeeper/.venv/bin/sealkeeper"
    assert arguments[-2] == "--config"
    assert (ROOT / "ops/examples" / EXAMPLES[arguments[-1]]).is_file()
    result = CliRunner().invoke(sealkeeper, [*arguments[:-2], "--help"])
    assert result.exit_code == 0, result.output
    assert "--config" in result.output


@each_service
def test_it_runs_as_a_user_that_is_made(unit):
    users = [
        line.split()[1]
        for line in (FOLDER / "sealkeeper.sysusers").read_text().splitlines()
        if line[0] == "u"
    ]
    assert values_of(unit, "User")[0] in users


@pytest.mark.parametrize(
    "unit", SERVICES if shutil.which("systemd-analyze") else [], ids=lambda path: path.stem
)
def test_systemd_itself_finds_little_exposed(unit):
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={round(MAX_EXPOSURE * 10)}",
        unit,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
