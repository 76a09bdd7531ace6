"""A whole ceremony at a terminal: mistyped, interrupted, gone on with, ended early, on a bare console."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pexpect
import pytest

from ca_server.core.archive import unpack
from tests.architecture.tree import ROOT
from tests.fixtures.ceremony_terminal import ANSI

pytestmark = pytest.mark.hsm

SEALKEEPER = str(Path(sys.executable).with_name("sealkeeper"))
CONFIRMATION, WITH_DEFAULT = "Type yes when this is so: ", r"\[[^\]\n]+\]: (\x1b\[0m)?$"


class Sitting:
    """A rehearsal of a root's generation, asked for at the terminal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "room"
        self._script = directory / "root.toml"
        self._script.write_bytes(subprocess.check_output([SEALKEEPER, "ceremony", "script", "root-generate"]))

    def rehearse(self, **environment: str) -> pexpect.spawn:
        return self._spawn("rehearse", str(self._script), "--directory", str(self.directory), **environment)

    def resume(self) -> pexpect.spawn:
        return self._spawn("resume", str(self.directory))

    def recording(self) -> str:
        """What the bundle keeps of the screen."""
        return unpack((self.directory / "bundle.tar").read_bytes())["recording.txt"].decode()

    def closing(self) -> str:
        return unpack((self.directory / "bundle.tar").read_bytes())["closing.txt"].decode()

    def verdict(self) -> str:
        """The verifier's last word on the bundle."""
        command = [SEALKEEPER, "ceremony", "verify", str(self.directory / "bundle.tar")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        return "good" if run.returncode == 0 else run.stderr

    def _spawn(self, *arguments: str, **environment: str) -> pexpect.spawn:
        return pexpect.spawn(
            SEALKEEPER,
            ["ceremony", *arguments, "--by-hand"],
            env={**os.environ, "TERM": "xterm", **environment},
            encoding="utf-8",
            dimensions=(50, 80),
            timeout=60,
        )


@pytest.fixture
def sitting(tmp_path) -> Sitting:
    return Sitting(tmp_path)


def finish(terminal: pexpect.spawn) -> tuple[str, int | None]:
    """Take every default to the end: what was shown meanwhile, and the exit status."""
    shown = ""
    while (asked := terminal.expect([CONFIRMATION, WITH_DEFAULT, pexpect.EOF])) != 2:
        shown += terminal.before + terminal.after
        terminal.sendline(("yes", "")[asked])
    terminal.close()
    return shown + terminal.before, terminal.exitstatus


def reach(terminal: pexpect.spawn, words: str) -> None:
    """Take defaults up to a question with these words, and leave it open."""
    while (asked := terminal.expect([CONFIRMATION, WITH_DEFAULT])) in {0, 1}:
        if words in terminal.before + terminal.after:
            return
        terminal.sendline(("yes", "")[asked])


def test_slips_and_a_deviation_end_in_a_ceremony_that_has_them_written_down(sitting):
    terminal = sitting.rehearse()
    reach(terminal, "Who signs next as key-officer")
    terminal.sendline("99")
    terminal.expect_exact("Nobody of that number or id")
    reach(terminal, "number or id")
    for typed in ("deviation", "the clock on the wall stands", "the machine's is used", "mia"):
        terminal.sendline(typed)
    reach(terminal, "Who signs next as key-officer")
    terminal.sendline("2")
    _, status = finish(terminal)
    assert status == 0
    assert "outcome: completed-with-deviations\n" in sitting.closing()
    recording = sitting.recording()
    assert "What is not as planned: the clock on the wall stands\n" in recording
    assert "DEVIATION 1: the clock on the wall stands\n  decided by mia: the machine's is used\n" in recording
    assert "key-officer: [x][ ] 1 of 2 signed: key-officer-2\n" in recording
    assert sitting.verdict() == "good"


def test_a_pause_is_signed_and_another_process_goes_on_with_the_recording(sitting):
    terminal = sitting.rehearse()
    reach(terminal, "gate approve")
    terminal.sendline("pause")
    terminal.expect_exact(f"sealkeeper ceremony resume {sitting.directory}")
    shown, status = finish(terminal)
    assert status == 3
    assert "gate: pause" in shown
    shown, status = finish(sitting.resume())
    assert status == 0
    assert "gate: resume" in shown
    recording = sitting.recording()
    assert (
        recording.index("Pausing.")
        < recording.index("gate resume, key-officer")
        < recording.rindex("then close")
    )
    assert sitting.verdict() == "good"


def test_ctrl_c_at_a_question_is_a_pause_and_a_second_one_leaves(sitting):
    terminal = sitting.rehearse()
    reach(terminal, "Who signs next as key-officer")
    terminal.sendcontrol("c")
    terminal.expect_exact("Pausing. Nothing is lost")
    reach(terminal, "number or id")
    terminal.sendcontrol("c")
    _, status = finish(terminal)
    assert status == 3
    _, status = finish(sitting.resume())
    assert status == 0
    assert sitting.verdict() == "good"


def test_an_abort_is_closed_by_those_who_are_there(sitting):
    terminal = sitting.rehearse()
    reach(terminal, "gate approve")
    terminal.sendline("abort")
    terminal.expect_exact("Type abort once more")
    terminal.sendline("abort")
    _, status = finish(terminal)
    assert status == 1
    assert "outcome: aborted-dirty\n" in sitting.closing()
    assert sitting.verdict() == "good"


def test_a_serial_console_without_colour_sees_every_line(sitting):
    shown, status = finish(sitting.rehearse(TERM="dumb", LC_ALL="C", NO_COLOR="1"))
    assert status == 0
    assert ANSI.sub("", shown) == shown
    assert shown.isascii()
    ours = [line for line in shown.splitlines() if not line.startswith(("Signing file", "Write signature"))]
    long = [line for line in ours if len(line) > 80]
    # Digests, commands and paths are never broken, so that they can be copied.
    assert all(any(len(word) > 30 for word in line.split()) for line in long)


def test_the_picture_of_a_rehearsal_is_made_from_one_and_fetches_nothing(tmp_path):
    picture = tmp_path / "ceremony.svg"
    command = [sys.executable, "-m", "ops.record_ceremony", str(picture)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    drawn = ET.parse(picture)
    texts = "\n".join(drawn.getroot().itertext()).replace("\xa0", " ")
    assert "[x][x] 2 of 2 signed: key-officer-1, key-officer-2" in texts
    assert "the ceremony ended: completed, no deviations" in texts
    for path in (picture, ROOT / "ops/docs/images/ceremony.svg"):
        source = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|url\([^#]|@import|@font-face|<script|<image", source)
