"""Asks people one thing at a terminal, as the engine would: DIRECTORY METHOD ARGUMENTS...

Whatever comes of it is in DIRECTORY/result.json, what was shown in DIRECTORY/recording.txt. A signature
counts if `ssh-keygen -Y verify` says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ca_server.core.errors import CaError, Kind, refuse
from ceremony.display import Display
from ceremony.keyboard import Keyboard
from ceremony.people import Deviated, Interrupted, Question
from ceremony.prompts import AtTerminal
from ceremony.share_prompts import SharePrompts
from ceremony.signing_prompts import SigningPrompts

NAMESPACE = "ceremony-rehearsal@example.com"
WORDS = frozenset({"academic", "acid", "acne", "acquire", "acrobat", "activity"})


def check(directory: Path, person: str, statement: bytes, signature: bytes) -> None:
    """Let OpenSSH judge."""
    typed = directory / "checked.sig"
    typed.write_bytes(signature)
    signers = ["-f", str(directory / "allowed-signers"), "-I", person, "-n", NAMESPACE, "-s", str(typed)]
    command = ["ssh-keygen", "-Y", "verify", *signers]
    if subprocess.run(command, input=statement, capture_output=True, check=False).returncode != 0:
        raise refuse(Kind.FORBIDDEN, "CEREMONY-SIGNATURE", f"this is no signature of {person}")


def people(directory: Path, display: Display) -> AtTerminal:
    keyboard = Keyboard(display, f"sealkeeper ceremony resume {directory}")
    keys = {path.stem: path for path in directory.glob("*.key")}

    def judged(person: str, statement: bytes, signature: bytes) -> None:
        check(directory, person, statement, signature)

    signing = SigningPrompts(display, keyboard, keys, judged)
    return AtTerminal(display, keyboard, signing, SharePrompts(display, keyboard, WORDS.__contains__))


def ask(directory: Path, display: Display, method: str, arguments: list[str]) -> object:
    at_terminal = people(directory, display)
    match method:
        case "choose":
            return at_terminal.choose(arguments[0], arguments[1].split(","), arguments[2].split(",")[:-1])
        case "sign":
            return at_terminal.sign(arguments[0], directory / arguments[1], NAMESPACE)
        case "answer":
            return at_terminal.answer(
                Question(
                    "bag",
                    "Which number is on the bag?",
                    r"[A-Z]-\d{4}",
                    "a letter, - and four digits",
                    "B-0117",
                )
            )
        case _:
            return getattr(at_terminal, method)(*arguments)


def main(directory: Path, method: str, *arguments: str) -> None:
    display = Display()
    result: dict[str, object] = {}
    try:
        result["answer"] = ask(directory, display, method, list(arguments))
    except Interrupted as interruption:
        result["raised"] = type(interruption).__name__
    except Deviated as deviation:
        result["deviation"] = [deviation.text, deviation.decision, deviation.by]
    except CaError as error:
        result["refused"] = error.rule_ids
    (directory / "result.json").write_text(json.dumps(result))
    (directory / "recording.txt").write_text(display.recording())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
