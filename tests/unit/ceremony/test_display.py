"""What is shown: the same words with colour and without, in 80 columns, remembered, and never a secret."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.errors import CaError
from ca_server.hsm.port import TokenRecord
from ceremony.display import WIDTH, Display, printable
from ceremony.words import from_words, to_words

DIGEST = hashlib.sha256(b"a script").hexdigest()
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """Keeps what is written to it, as a screen does."""

    def isatty(self) -> bool:
        return True


class Step:
    """A step as a plan has it, in the few words that are shown of it."""

    def __init__(self, name: str, words: str, *signers: str) -> None:
        self.id, self._words, self._signers = name, words, signers

    def describe(self, script) -> str:
        assert script.id == "root-r1-2027"
        return self._words

    def signers(self) -> tuple[str, ...]:
        return self._signers


STEPS = (
    Step("environment", "look at the machine: its clock, its network and this program, " * 3),
    Step("open", "everyone present signs the opening", "security-officer", "key-officer", "internal-witness"),
    Step("make-r1", "make key 'root-r1' in vault-a", "key-officer"),
)
SCRIPT = SimpleNamespace(
    id="root-r1-2027",
    kind="root-generate",
    title="Example Works\x1b[2J root R1",
    steps=STEPS,
    roles={
        RoleName.SECURITY_OFFICER: SimpleNamespace(quorum=1),
        RoleName.KEY_OFFICER: SimpleNamespace(quorum=2),
        RoleName.INTERNAL_WITNESS: SimpleNamespace(quorum=2),
    },
)
PLAN = SimpleNamespace(script=SCRIPT, sha256=DIGEST)
TOKEN = TokenRecord("root-2027", "Łódź Works", "Model 9", "H-0117", "7.8.4", frozenset())


def show_everything(display: Display) -> None:
    display.show_plan(PLAN, "rehearsal")
    display.show_tokens({"vault-a": TOKEN})
    with display.step(2, 3, STEPS[1]) as result:
        display.gate("open", "key-officer", ["ada"], 2)
        display.gate("open", "key-officer", ["ada", "bob"], 2)
        result("the ceremony is open")
    with display.step(3, 3, STEPS[2]) as result:
        result(f"public key of r1 SHA-256 {DIGEST}")
    display.show_deviation(1, "a cable was missing " * 10, "fetched another", "mia")
    display.show_outcome("completed", 1, Path("/bundle.tar"), DIGEST)


def shown(**console) -> tuple[str, str]:
    """What a console gets, and what is remembered; step times are made equal."""
    screen = io.StringIO()
    display = Display(Console(file=screen, **console))
    show_everything(display)
    times = re.compile(r"\d+\.\d\d s\b")
    return times.sub("0.00 s", screen.getvalue()), times.sub("0.00 s", display.recording())


def test_the_same_lines_are_shown_in_colour_and_without_and_remembered():
    coloured, recorded = shown(force_terminal=True, color_system="truecolor", width=200)
    plain, _ = shown(force_terminal=False, width=40)
    assert coloured != plain
    assert COLOURS.sub("", coloured) == plain == recorded


@pytest.mark.parametrize("variable", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}])
def test_a_console_that_has_no_colour_gets_none(variable):
    text, recorded = shown(force_terminal=True, _environ=variable)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", text)
    assert COLOURS.sub("", text) == recorded


def test_lines_fit_80_columns_but_for_commands_that_are_copied():
    text, _ = shown()
    long = [line for line in text.splitlines() if len(line) > WIDTH]
    assert long == [f"  sealkeeper ceremony verify /bundle.tar --sha256 {DIGEST}"]


def test_what_is_ours_is_ascii_so_that_a_serial_console_shows_it():
    text, _ = shown()
    assert text.replace("Łódź", "Lodz").isascii()


def test_nothing_that_is_shown_can_control_the_terminal():
    text, recorded = shown()
    assert "Example Works\\x1b[2J root R1" in text
    assert "\x1b" not in text + recorded
    assert printable("a\u202eb\r\n\x9bc") == "a\\u202eb\\r\\n\\x9bc"


def test_a_digest_is_shown_whole_in_fours_and_in_words_that_say_it():
    screen = io.StringIO()
    display = Display(Console(file=screen))
    display.show_digest("the script", DIGEST)
    first, whole, *rows = display.recording().splitlines()
    assert (first, whole.strip()) == ("SHA-256 of the script:", DIGEST)
    assert len(rows) == 8
    assert "".join(digits for row in rows for digits in row.split()[:2]) == DIGEST
    assert from_words(word for row in rows for word in row.split()[2:]) == DIGEST


def test_a_plan_says_of_each_step_its_number_and_who_signs():
    _, recorded = shown()
    lines = recorded.splitlines()
    at = lines.index("  2  open: everyone present signs the opening")
    assert lines[at + 1] == "     signed by 1 security-officer, 2 key-officers, 2 internal-witnesses"
    assert "  3  make-r1: make key 'root-r1' in vault-a" in lines


def test_a_step_says_what_happens_now_who_signs_and_what_comes_then():
    _, recorded = shown()
    assert (
        "now  open: everyone present signs the opening\n"
        "     signed by 1 security-officer, 2 key-officers, 2 internal-witnesses\n"
        "then make-r1: make key 'root-r1' in vault-a\n"
    ) in recorded


def test_a_digest_that_a_step_made_is_said_in_words_too():
    _, recorded = shown()
    assert f"SHA-256 of public key of r1:\n  {DIGEST}\n" in recorded
    assert recorded.count(" ".join(to_words(DIGEST)[:1])) >= 3
    assert "done: 0.00 s\n" in recorded


def test_a_list_of_digests_keeps_its_lines():
    display = Display(Console(file=io.StringIO()))
    line = f"{DIGEST}  gates/0013-approve-internal-witness-mia.txt"
    display.say(f"one\n{line}\ntwo")
    assert display.recording() == f"one\n{line}\ntwo\n"


def test_progress_of_a_gate_is_in_words_and_marks():
    _, recorded = shown()
    assert "gate open, key-officer: [x][ ] 1 of 2 signed: ada\n" in recorded
    assert "gate open, key-officer: [x][x] 2 of 2 signed: ada, bob\n" in recorded


def test_a_step_that_fails_is_said_to_have_stopped():
    display = Display(Console(file=io.StringIO()))
    with pytest.raises(KeyError), display.step(2, 3, STEPS[1]):
        raise KeyError
    assert "STOPPED at step open (2 of 3)" in display.recording()
    assert "done:" not in display.recording()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_secret_is_shown_and_nowhere_else(terminal):
    screen = Terminal()
    console = Console(file=screen, record=True, force_terminal=terminal, _environ={"TERM": "xterm"})
    display = Display(console)
    display.show_secret(["academic acid"])
    display.draw("## ##", "a QR code")
    assert "academic acid" in screen.getvalue()
    assert "## ##" in screen.getvalue()
    display.wipe()
    after = screen.getvalue().split("academic acid")[1]
    assert "\x1b[3J" in after if terminal else after.count("\n") > 100
    for kept in (display.recording(), console.export_text()):
        assert "academic" not in kept
        assert "##" not in kept
    assert "(a QR code was shown)" in display.recording()


def test_a_secret_is_not_shown_to_a_file():
    screen = io.StringIO()
    with pytest.raises(CaError) as refused:
        Display(Console(file=screen, force_terminal=True)).show_secret(["academic acid"])
    assert refused.value.rule_ids == ("CEREMONY-TERMINAL",)
    assert screen.getvalue() == ""


def test_what_an_earlier_process_showed_comes_first(tmp_path):
    log = tmp_path / "recording.txt"
    for process in ("one", "two"):
        display = Display(Console(file=Terminal()))
        display.say(f"{process} begins")
        display.keep_in(log)
        display.show_secret(["academic acid"])
        display.say(f"{process} Łódź")
    assert display.recording() == log.read_text() == "one begins\none Łódź\ntwo begins\ntwo Łódź\n"


def test_what_lies_in_the_recordings_place_is_text_or_refused(tmp_path):
    log, pin = tmp_path / "recording.log", tmp_path / "pin"
    log.write_bytes(b"one\xff\xfe\n")
    display = Display(Console(file=Terminal()))
    display.keep_in(log)
    assert display.recording() == "one\ufffd\ufffd\n"
    log.write_bytes(b"x" * (16 * 1024 * 1024 + 1))
    with pytest.raises(CaError) as refused:
        display.keep_in(log)
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)
    log.unlink()
    pin.write_bytes(b"1234")
    log.symlink_to(pin)
    with pytest.raises(CaError) as refused:
        display.keep_in(log)
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)
    assert pin.read_bytes() == b"1234"


def test_a_question_is_remembered_with_what_was_typed():
    display = Display(Console(file=io.StringIO()))
    display.ask("who signs? [1]")
    display.typed("2\x1b")
    assert display.recording() == "who signs? [1] 2\\x1b\n"
