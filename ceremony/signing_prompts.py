"""Signing a statement: it is read here, and signed here, on another machine, or across an air gap."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ca_server.core.errors import CaError, Kind, refuse
from ceremony.display import Display
from ceremony.keyboard import Keyboard
from ceremony.qr import Collector
from ceremony.qr_pictures import Screen, on_screen

Check = Callable[[str, bytes, bytes], None]
"""Of person, statement and armoured signature: raises CaError unless they signed this, and it counts."""

MAX_SIGNATURE_BYTES = 16 * 1024
MAX_REFUSED = 3
"""After so many signatures that do not count the last is left as it is, and the ceremony stops over it."""

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAX_LINES = 400


class SigningPrompts:
    """`keys` are the files, of keys or of tokens' handles, with which `ssh-keygen` signs here, by person."""

    def __init__(self, display: Display, keyboard: Keyboard, keys: Mapping[str, Path], check: Check) -> None:
        self._display = display
        self._keyboard = keyboard
        self._keys = keys
        self._check = check

    def sign(self, person: str, statement: Path, namespace: str) -> None:
        """Show a statement and ask until its signature lies beside it and counts.

        Raises:
            Paused, Aborted, Deviated: somebody typed that.
        """
        text = statement.read_bytes()
        signature = statement.with_name(statement.name + ".sig")
        self._show(person, statement, text, namespace)
        refused = 0
        while refused < MAX_REFUSED:
            signature.unlink(missing_ok=True)
            try:
                self._obtain(person, statement, namespace)
                self._check(person, text, _read(signature))
            except CaError as error:
                refused += "CEREMONY-SIGNATURE-MISSING" not in error.rule_ids
                self._display.say(f"NOT ACCEPTED: {error.detail} [{', '.join(error.rule_ids)}]", style="red")
            else:
                return

    def _show(self, person: str, statement: Path, text: bytes, namespace: str) -> None:
        self._display.say(f"{person} reads and signs this statement:", style="bold")
        self._display.say("\n".join(f"  {line}" for line in text.decode().splitlines()))
        self._display.show_digest("the statement", hashlib.sha256(text).hexdigest())
        self._display.say("It is signed by:")
        self._display.show_command(shlex.join(self._command(person, statement, namespace)))

    def _command(self, person: str, statement: Path, namespace: str) -> list[str]:
        key = self._keys.get(person, "KEY")
        return ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", namespace, str(statement)]

    def _obtain(self, person: str, statement: Path, namespace: str) -> None:
        here = self._keys.get(person)
        self._display.say(f"How does {person} sign?")
        if here:
            self._display.say(f"  1  here and now, with the key {here}")
        self._display.say("  2  elsewhere, by that command; its .sig file is then put beside the statement")
        self._display.say("  3  on a machine with a camera: by QR codes, both ways")
        ways = ["1", "2", "3"] if here else ["2", "3"]
        while (way := self._keyboard.ask(" or ".join(ways), ways[0])) not in ways:
            self._display.say("That is none of these ways.")
        if way == "1":
            self._sign_here(self._command(person, statement, namespace))
        elif way == "2":
            self._keyboard.ask(f"ENTER once {statement.name}.sig lies in {statement.parent}")
        else:
            self._sign_by_codes(statement, namespace)

    def _sign_here(self, command: list[str]) -> None:
        """The tool has the terminal to itself, for a passphrase, a PIN, or the words that ask for a touch."""
        try:
            done = subprocess.run(
                command, check=False, stdout=sys.stderr, env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
            )
        except OSError as error:
            raise _missing(f"ssh-keygen cannot be run: {error.strerror}") from error
        except KeyboardInterrupt:
            raise _missing("ssh-keygen was interrupted") from None
        if done.returncode != 0:
            raise _missing(f"ssh-keygen did not sign; it ended with {done.returncode}")

    def _sign_by_codes(self, statement: Path, namespace: str) -> None:
        codes = on_screen(statement.read_bytes(), Screen.of(sys.stderr))
        for number, code in enumerate(codes, 1):
            self._display.draw(code, f"QR code {number} of {len(codes)} of the statement")
            self._keyboard.ask(f"code {number} of {len(codes)}; ENTER once it is read")
        self._display.say("On the other machine, with the key in place of KEY:")
        self._display.show_command("sealkeeper ceremony qr read --out statement.txt")
        self._display.show_command(f"ssh-keygen -Y sign -f KEY -n {namespace} statement.txt")
        self._display.show_command("sealkeeper ceremony qr show statement.txt.sig")
        self._display.say(f"Now scan those codes, or type the signature from {_BEGIN} to {_END}.")
        statement.with_name(statement.name + ".sig").write_bytes(self._type_signature())

    def _type_signature(self) -> bytes:
        """An armoured signature, typed as it is or as the frames of QR codes."""
        collector = Collector()
        typed: list[str] = []
        for _ in range(_MAX_LINES):
            line = self._keyboard.ask("signature" if not collector.total else _progress(collector))
            if typed or line == _BEGIN:
                typed.append(line)
                if line == _END:
                    return "".join(f"{each}\n" for each in typed).encode()
                continue
            try:
                collector.add(line)
                if collector.complete:
                    return collector.content()
            except CaError as error:
                self._display.say(f"{error.detail} [{', '.join(error.rule_ids)}]")
        raise _missing(f"no signature came in {_MAX_LINES} lines")


def _progress(collector: Collector) -> str:
    missing = ", ".join(map(str, collector.missing))
    return f"signature, {collector.total} codes, missing {missing}"


def _read(signature: Path) -> bytes:
    try:
        with signature.open("rb") as file:
            return file.read(MAX_SIGNATURE_BYTES + 1)
    except OSError as error:
        raise _missing(f"{signature} is not there or cannot be read") from error


def _missing(detail: str) -> CaError:
    return refuse(Kind.NOT_FOUND, "CEREMONY-SIGNATURE-MISSING", detail)
