"""People at a real terminal: lists, three ways to sign with real keys, shares, and the words that stop."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from ceremony.qr import to_frames
from tests.architecture.tree import ROOT
from tests.fakes.people_at_terminal import NAMESPACE

DRIVER = ROOT / "tests/fakes/people_at_terminal.py"
STATEMENT = "0004-open-key-officer-ada.txt"
TEXT = "sealkeeper ceremony statement v1\nceremony: root-r1-2027\nperson: ada\nrole: key-officer\n"
SHARE = " ".join(["academic", "acid", "acne", "acquire", "acrobat", "activity"] * 6).split()[:33]
CLEARED = "\x1b[2J\x1b[3J\x1b[H"


class Desk:
    """A folder with a statement and people's keys, and a terminal where something is asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / STATEMENT).write_text(TEXT)
        self.signature = directory / f"{STATEMENT}.sig"

    def ask(self, *arguments: str, term: str = "xterm", columns: int = 80) -> pexpect.spawn:
        return pexpect.spawn(
            sys.executable,
            [str(DRIVER), str(self.directory), *arguments],
            env={**os.environ, "TERM": term, "PYTHONPATH": str(ROOT)},
            encoding="utf-8",
            dimensions=(50, columns),
            timeout=30,
            echo=True,
        )

    def key(self, person: str, *, bound: bool = True, passphrase: str = "") -> Path:
        """A new key of a person, who may sign with it; bound, the machine knows where it is."""
        path = self.directory / (f"{person}.key" if bound else f"{person}.elsewhere")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", person, "-f", str(path)]
        subprocess.run(command, check=True)
        public = Path(f"{path}.pub").read_text().rsplit(" ", 1)[0]
        with (self.directory / "allowed-signers").open("a") as file:
            file.write(f'{person} namespaces="{NAMESPACE}" {public}\n')
        return path

    def sign(self, key: Path, namespace: str = NAMESPACE) -> None:
        """Put a signature beside the statement, as somebody elsewhere would."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace]
        subprocess.run([*command, str(self.directory / STATEMENT)], check=True, capture_output=True)

    def verifies(self) -> bool:
        command = ["ssh-keygen", "-Y", "verify", "-f", str(self.directory / "allowed-signers"), "-I", "ada"]
        command += ["-n", NAMESPACE, "-s", str(self.signature)]
        return subprocess.run(command, input=TEXT.encode(), capture_output=True, check=False).returncode == 0

    def result(self, terminal: pexpect.spawn) -> dict[str, object]:
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0, terminal.before
        return json.loads((self.directory / "result.json").read_text())

    @property
    def recording(self) -> str:
        return (self.directory / "recording.txt").read_text()


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(("typed", "chosen"), [("", "bob"), ("2", "cleo"), ("cleo", "cleo")])
def test_who_signs_next_is_a_number_an_id_or_the_first(desk, typed, chosen):
    terminal = desk.ask("choose", "key-officer", "bob,cleo", "ada,")
    terminal.expect_exact("Signed as key-officer so far: ada.")
    terminal.expect_exact("Who signs next as key-officer?")
    terminal.sendline("3")
    terminal.expect_exact("Nobody of that number or id")
    terminal.sendline(typed)
    assert desk.result(terminal) == {"answer": chosen}


def test_a_person_signs_here_with_the_bound_key_and_its_passphrase(desk):
    key = desk.key("ada", passphrase="correct horse")
    terminal = desk.ask("sign", "ada", STATEMENT)
    terminal.expect_exact("  role: key-officer")
    terminal.expect(r"SHA-256 of the statement:.*?([0-9a-f]{64})")
    digest = terminal.match[1]
    terminal.expect_exact(f"ssh-keygen -Y sign -f {key} -n {NAMESPACE} {desk.directory / STATEMENT}")
    terminal.expect_exact("1 or 2 or 3 [1]:")
    terminal.sendline("")
    terminal.expect("Enter passphrase")
    terminal.sendline("correct horse")
    assert desk.result(terminal) == {"answer": None}
    assert desk.verifies()
    assert digest == subprocess.check_output(["sha256sum", desk.directory / STATEMENT], text=True).split()[0]
    assert "correct horse" not in desk.recording


def test_a_wrong_passphrase_is_said_and_the_way_to_sign_asked_again(desk):
    desk.key("ada", passphrase="correct horse")
    terminal = desk.ask("sign", "ada", STATEMENT)
    terminal.expect_exact("1 or 2 or 3 [1]:")
    terminal.sendline("1")
    terminal.expect("Enter passphrase")
    terminal.sendline("wrong")
    terminal.expect_exact("NOT ACCEPTED: ssh-keygen did not sign")
    terminal.expect_exact("[CEREMONY-SIGNATURE-MISSING]")
    terminal.expect_exact("How does ada sign?")
    terminal.sendline("pause")
    assert desk.result(terminal) == {"raised": "Paused"}
    assert f"sealkeeper ceremony resume {desk.directory}" in desk.recording


def test_a_person_signs_elsewhere_and_what_is_missing_or_wrong_is_explained(desk):
    key, other = desk.key("ada", bound=False), desk.key("bob", bound=False)
    terminal = desk.ask("sign", "ada", STATEMENT)
    terminal.expect_exact("ssh-keygen -Y sign -f KEY")
    steps = (
        (lambda: None, "is not there"),
        (lambda: desk.sign(other), "this is no signature of ada [CEREMONY-SIGNATURE]"),
        (lambda: desk.sign(key, "ceremony@example.com"), "this is no signature of ada [CEREMONY-SIGNATURE]"),
        (lambda: desk.sign(key), None),
    )
    for put, refusal in steps:
        terminal.expect_exact("2 or 3 [2]:")
        terminal.sendline("2")
        terminal.expect_exact("ENTER once")
        put()
        terminal.sendline("")
        if refusal:
            terminal.expect_exact(refusal)
    assert desk.result(terminal) == {"answer": None}
    assert desk.verifies()


def test_the_third_signature_that_does_not_count_is_left_for_the_ceremony_to_stop_over(desk):
    desk.key("ada", bound=False)
    other = desk.key("bob", bound=False)
    terminal = desk.ask("sign", "ada", STATEMENT)
    for _ in range(3):
        terminal.expect_exact("2 or 3 [2]:")
        terminal.sendline("")
        terminal.expect_exact("ENTER once")
        desk.sign(other)
        terminal.sendline("")
    assert desk.result(terminal) == {"answer": None}
    assert desk.signature.exists()
    assert not desk.verifies()


@pytest.mark.parametrize("scanned", [True, False])
def test_a_person_signs_across_an_air_gap_by_codes(desk, scanned):
    key = desk.key("ada", bound=False)
    desk.sign(key)
    signature = desk.signature.read_bytes()
    lines = to_frames(signature, 200)[::-1] if scanned else signature.decode().splitlines()
    terminal = desk.ask("sign", "ada", STATEMENT, columns=120)
    terminal.expect_exact("2 or 3 [2]:")
    terminal.sendline("3")
    terminal.expect(r"code 1 of (\d+); ENTER")
    for _ in range(int(terminal.match[1])):
        terminal.sendline("")
    terminal.expect_exact("qr show statement.txt.sig")
    terminal.sendline("what is this")
    terminal.expect_exact("[CEREMONY-QR-FRAME]")
    for line in lines:
        terminal.sendline(line)
    assert desk.result(terminal) == {"answer": None}
    assert desk.signature.read_bytes() == signature
    assert "(QR code 1 of" in desk.recording
    assert not re.search("[█▀▄]|####", desk.recording)


def test_a_share_is_seen_by_its_custodian_alone_typed_back_and_wiped(desk):
    terminal = desk.ask("hand_over_share", "ada", "backup-2027", " ".join(SHARE))
    terminal.expect_exact("EVERYBODY ELSE LOOKS AWAY NOW.")
    terminal.sendline("bob")
    terminal.expect_exact("That is not their id.")
    assert "academic" not in terminal.before
    terminal.sendline("ada")
    terminal.expect(r"  1 academic +2 acid +3 acne +4 acquire\s+5 acrobat")
    terminal.expect_exact("ENTER once they are written down and compared (not shown):")
    terminal.sendline("")
    terminal.expect_exact(CLEARED)
    terminal.expect_exact("back from word 1 on")
    terminal.sendline(" ".join(SHARE[:6]) + " wrong acid")
    terminal.expect_exact("Word 7 is not what was shown")
    terminal.expect_exact("back from word 7 on")
    terminal.sendline("")
    terminal.expect_exact("types their id to see")
    terminal.sendline("ada")
    terminal.expect_exact("written down and compared (not shown):")
    terminal.sendline("academic acid")
    terminal.expect_exact(CLEARED)
    terminal.expect_exact("back from word 7 on")
    terminal.sendline(" ".join(SHARE[6:]).upper())
    terminal.expect_exact("ada has all 33 words")
    assert not any(word in terminal.before for word in SHARE)
    assert desk.result(terminal) == {"answer": None}
    assert not any(word in desk.recording for word in SHARE)


def test_a_share_is_not_shown_where_it_would_end_up_in_a_file(desk):
    log = desk.directory / "log"
    command = (
        f"{sys.executable} {DRIVER} {desk.directory} hand_over_share ada backup 'academic acid' 2> {log}"
    )
    terminal = pexpect.spawn(
        "/bin/sh", ["-c", command], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30
    )
    terminal.sendline("ada")
    assert desk.result(terminal) == {"refused": ["CEREMONY-TERMINAL"]}
    assert "academic" not in log.read_text()


def test_on_a_console_that_cannot_be_cleared_the_share_scrolls_away_and_that_is_said(desk):
    terminal = desk.ask("hand_over_share", "ada", "backup-2027", "academic acid", term="dumb")
    terminal.sendline("ada")
    terminal.expect_exact("written down and compared (not shown):")
    terminal.sendline("")
    terminal.expect(r"(\r\n){100}")
    terminal.expect_exact("This console cannot be cleared")
    terminal.expect_exact("back from word 1 on")
    terminal.sendline("academic acid")
    assert desk.result(terminal) == {"answer": None}


def test_a_share_is_typed_unseen_and_a_wrong_word_named_by_its_number(desk):
    terminal = desk.ask("ask_share", "ada", "backup-2027")
    terminal.expect_exact("from word 1 of 33 on (not shown):")
    terminal.sendline(" ".join(SHARE[:11]))
    terminal.expect_exact("from word 12 of 33 on")
    terminal.sendline(" ".join(SHARE[11:20]) + " acadmic " + SHARE[21])
    terminal.expect_exact("Word 21 is not a word of any share")
    terminal.expect_exact("from word 21 of 33 on")
    terminal.sendline(" ".join(SHARE[20:]))
    assert desk.result(terminal) == {"answer": " ".join(SHARE)}
    assert not any(word in desk.recording for word in [*SHARE, "acadmic"])


def test_noise_on_the_line_is_a_wrong_word(desk):
    terminal = desk.ask("ask_share", "ada", "backup-2027")
    terminal.expect_exact("from word 1 of 33 on")
    os.write(terminal.child_fd, b"\xff\xfe\n")
    terminal.expect_exact("Word 1 is not a word of any share")
    terminal.expect_exact("from word 1 of 33 on")
    terminal.sendline("pause")
    assert desk.result(terminal) == {"raised": "Paused"}


def test_an_empty_line_ends_a_shorter_share(desk):
    terminal = desk.ask("ask_share", "ada", "backup-2027")
    terminal.expect_exact("from word 1 of 33 on")
    terminal.sendline(" ".join(SHARE[:20]))
    terminal.expect_exact("from word 21 of 33 on")
    terminal.sendline("")
    assert desk.result(terminal) == {"answer": " ".join(SHARE[:20])}


def test_an_answer_has_the_form_that_is_wanted(desk):
    terminal = desk.ask("answer")
    terminal.expect_exact("Which number is on the bag?")
    terminal.sendline("117")
    terminal.expect_exact("It has the form: a letter, - and four digits.")
    terminal.sendline("B-0118")
    assert desk.result(terminal) == {"answer": "B-0118"}
    assert "B-0117" not in desk.recording


def test_only_yes_confirms(desk):
    terminal = desk.ask("confirm", "The seal of bag B-0117 is whole.")
    for typed in ("", "y", "Yes"):
        terminal.expect_exact("Type yes when this is so:")
        terminal.sendline(typed)
    terminal.expect_exact("Type yes when this is so:")
    terminal.sendline("yes")
    assert desk.result(terminal) == {"answer": None}


QUESTIONS = (
    ("choose", "key-officer", "bob,cleo", ""),
    ("sign", "ada", STATEMENT),
    ("hand_over_share", "ada", "backup", "academic acid"),
    ("ask_share", "ada", "backup"),
    ("answer",),
    ("confirm", "So it is."),
)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each[0])
def test_every_question_takes_the_three_words_and_the_end_of_input(desk, question):
    def raised(*typed: str) -> dict[str, object]:
        terminal = desk.ask(*question)
        for line in typed:
            terminal.expect(r": (\x1b\[0m)?$")
            terminal.send(line if line in {"\x03", "\x04"} else f"{line}\n")
        return desk.result(terminal)

    assert raised("pause") == raised("\x03") == raised("\x04") == {"raised": "Paused"}
    assert raised("abort", "abort") == {"raised": "Aborted"}
    assert raised("deviation", "a cable is missing", "fetched another", "mia") == {
        "deviation": ["a cable is missing", "fetched another", "mia"]
    }
