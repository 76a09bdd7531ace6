"""What is typed: an answer, nothing, or one of the three words that are understood everywhere."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from ceremony.display import Display
from ceremony.keyboard import Keyboard
from ceremony.people import Aborted, Deviated, Paused
from tests.architecture.tree import ROOT

RESUME = "sealkeeper ceremony resume /safe/root-r1"


def typing(*lines: str) -> tuple[Keyboard, Display]:
    display = Display(Console(file=io.StringIO()))
    return Keyboard(display, RESUME, io.StringIO("".join(f"{line}\n" for line in lines))), display


# A process without any terminal, as a service is.
ALONE = """
import sys
from ca_server.core.errors import CaError
from ceremony.display import Display
from ceremony.keyboard import Keyboard
try:
    Keyboard(Display(), "resume").ask_hidden("share")
except CaError as error:
    sys.exit(*error.rule_ids)
"""


def test_an_answer_is_given_without_the_spaces_around_it_and_remembered():
    keyboard, display = typing("  ada ")
    assert keyboard.ask("who") == "ada"
    assert display.recording() == "who: ada\n"


def test_what_is_not_utf_8_is_a_wrong_answer_and_no_more():
    stream = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\nada\n"), encoding="utf-8")
    keyboard = Keyboard(Display(Console(file=io.StringIO())), RESUME, stream)
    assert keyboard.ask("who") == "\ufffd\ufffd"
    assert keyboard.ask("who") == "ada"


def test_an_empty_line_is_the_default_and_the_question_names_it():
    keyboard, display = typing("", "")
    assert keyboard.ask("who", "ada") == "ada"
    assert keyboard.ask("what") == ""
    assert display.recording() == "who [ada]:\nwhat:\n"


@pytest.mark.parametrize("lines", [["pause"], [" PAUSE "], []])
def test_the_word_and_the_end_of_input_pause_and_say_how_to_go_on(lines):
    keyboard, display = typing(*lines)
    with pytest.raises(Paused):
        keyboard.ask("who")
    assert RESUME in display.recording()


def test_an_abort_is_asked_back_and_can_be_taken_back():
    keyboard, _ = typing("abort", "", "ada")
    assert keyboard.ask("who") == "ada"
    keyboard, _ = typing("abort", "Abort")
    with pytest.raises(Aborted):
        keyboard.ask("who")


def test_a_deviation_has_its_text_its_decision_and_who_decided():
    keyboard, _ = typing(
        "deviation", "", "x" * 501, "\x1b[2J", "a cable is missing", "fetched another", "mia"
    )
    with pytest.raises(Deviated) as said:
        keyboard.ask("who")
    assert (said.value.text, said.value.decision, said.value.by) == (
        "a cable is missing",
        "fetched another",
        "mia",
    )


def test_a_secret_is_not_typed_where_it_would_be_seen():
    run = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=ROOT,
        input="academic acid\n",
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == "CEREMONY-TERMINAL\n"
    assert "academic" not in run.stdout + run.stderr
