"""What people type: one line at a time, and three words that are understood wherever something is asked.

`pause` stops for now, `abort` ends the ceremony, `deviation` has something written down that is not as
planned. The end of input and Ctrl-C are a pause, so that nobody loses a ceremony by a slip of the hand.
"""

from __future__ import annotations

import getpass
import io
import sys
import warnings
from typing import TextIO

from ca_server.core.errors import Kind, refuse
from ceremony.display import Display
from ceremony.people import Aborted, Deviated, Paused
from ceremony.qr import MAX_LINE_CHARACTERS

MAX_DEVIATION = 500
"""Characters of each line of a deviation."""

HELP = "At any question you may also type: pause, abort, or deviation."


class Keyboard:
    """Asks on the display and reads what is typed; the display remembers it, unless it is a secret."""

    def __init__(self, display: Display, resume: str, stream: TextIO | None = None) -> None:
        """`resume` is the command that goes on with the ceremony after a pause."""
        self._display = display
        self._resume = resume
        self._stream = stream or sys.stdin
        if isinstance(self._stream, io.TextIOWrapper):
            # What is not UTF-8 is a wrong answer, not the end of the program.
            self._stream.reconfigure(errors="replace")

    def ask(self, words: str, default: str = "") -> str:
        """A line that is typed, without the spaces around it; of an empty one, the default.

        Raises:
            Paused, Aborted, Deviated: that was typed instead.
        """
        question = f"{words} [{default}]:" if default else f"{words}:"
        while self._is_command(typed := self._read(question)):
            pass
        return typed or default

    def ask_hidden(self, words: str) -> str:
        """The same for a secret: it is not seen while it is typed, and not remembered.

        Raises:
            CaError: unavailable, `CEREMONY-TERMINAL`, there is no terminal that can hide it.
            Paused, Aborted, Deviated: that was typed instead.
        """
        while self._is_command(typed := self._read_hidden(f"{words} (not shown):")):
            pass
        return typed

    def _read(self, question: str) -> str:
        """A line, as it is."""
        try:
            self._display.ask(question)
            line = self._stream.readline(MAX_LINE_CHARACTERS)
        except KeyboardInterrupt:
            line = ""
        self._display.typed(line.strip())
        if not line:
            raise self._pause()
        return line.strip()

    def _read_hidden(self, question: str) -> str:
        self._display.remember(question)
        try:
            return _without_echo(f"{question} ").strip()
        except (EOFError, KeyboardInterrupt):
            raise self._pause() from None

    def _is_command(self, typed: str) -> bool:
        """Obey one of the three words; True where it was `abort` and not confirmed."""
        match typed.strip().lower():
            case "pause":
                raise self._pause()
            case "deviation":
                raise self._deviation()
            case "abort":
                if self._read("Type abort once more to end this ceremony for good:").lower() == "abort":
                    raise Aborted
                return True
            case _:
                return False

    def _pause(self) -> Paused:
        self._display.say("Pausing. Nothing is lost; go on later with:")
        self._display.show_command(self._resume)
        return Paused()

    def _deviation(self) -> Deviated:
        self._display.say(
            "A deviation is written into the transcript, and everybody's next signature covers it."
        )
        text = self._required("What is not as planned")
        decision = self._required("What was decided")
        return Deviated(text, decision, self._required("Who decided it"))

    def _required(self, words: str) -> str:
        while not 0 < len(answer := self._read(f"{words}:")) <= MAX_DEVIATION or not answer.isprintable():
            self._display.say(f"Type one line of 1 to {MAX_DEVIATION} printable characters.")
        return answer


def _without_echo(question: str) -> str:
    """A line of the process's terminal, whose echo is off before the question is seen."""
    with warnings.catch_warnings():
        # getpass would fall back to showing what is typed, with a warning; that is refused instead.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(question)
        except UnicodeDecodeError:
            # The error carries what was typed; this is no word of anything.
            return "\N{REPLACEMENT CHARACTER}"
        except getpass.GetPassWarning:
            detail = "there is no terminal on which a secret can be typed without being seen"
            raise refuse(Kind.UNAVAILABLE, "CEREMONY-TERMINAL", detail) from None
