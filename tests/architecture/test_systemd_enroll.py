"""The unit and the timer by which hosts renew: the command exists, the folder is the command's own."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from ca_server.cli import command as sealkeeper
from ca_server.cli.enroll import FOLDERS, WaitingForApproval
from tests.architecture.test_systemd import FOLDER, values_of

SERVICE = FOLDER / "sealkeeper-enroll@.service"
TIMER = FOLDER / "sealkeeper-enroll@.timer"
FOLDER_OF_UNIT = f"{FOLDERS}/%i"
MAX_EXPOSURE = 3.5


def test_it_starts_the_command_on_the_folder_that_the_command_makes():
    [start] = values_of(SERVICE, "ExecStart")
    program, *arguments = start.split()
    assert program == "/opt/sealkeeper/.venv/bin/sealkeeper"
    assert arguments == ["enroll", "--dir", FOLDER_OF_UNIT]
    result = CliRunner().invoke(sealkeeper, ["enroll", "--help"])
    assert result.exit_code == 0
    assert "--dir" in result.output


def test_it_runs_only_where_something_is_enrolled_and_writes_there_alone():
    assert values_of(SERVICE, "ConditionFileNotEmpty") == [f"{FOLDER_OF_UNIT}/enroll.toml"]
    assert values_of(SERVICE, "ReadWritePaths") == [FOLDER_OF_UNIT]
    assert values_of(SERVICE, "ProtectSystem") == ["strict"]
    assert values_of(SERVICE, "CapabilityBoundingSet") == [""]


def test_waiting_for_approval_is_no_failure_and_all_else_is():
    assert values_of(SERVICE, "SuccessExitStatus") == [str(WaitingForApproval.exit_code)]


def test_limits_may_be_set_by_the_process_that_parses():
    assert "SystemCallFilter=~@privileged @resources" not in SERVICE.read_text()


def test_the_timer_catches_up_and_spreads_hosts():
    assert values_of(TIMER, "OnCalendar") == ["hourly"]
    assert values_of(TIMER, "Persistent") == ["yes"]
    assert values_of(TIMER, "RandomizedDelaySec") == ["1h"]
    assert values_of(TIMER, "WantedBy") == ["timers.target"]


@pytest.mark.parametrize(
    "unit", [SERVICE] if shutil.which("systemd-analyze") else [], ids=lambda path: path.stem
)
def test_systemd_itself_finds_little_exposed(unit):
    threshold = f"--threshold={round(MAX_EXPOSURE * 10)}"
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", threshold, unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
