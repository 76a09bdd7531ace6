"""What the people in the room see: lines on stderr, from the top to the bottom, and each of them kept.

Every line says in words what it means, in ASCII but for names, in 80 columns; colour only underlines it.
So it reads the same over a serial console, on paper and to a screen reader. Commands and digests are never
broken, so that they can be copied.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.text import Text

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.errors import Kind, refuse
from ceremony.folder import append, read_below
from ceremony.words import to_words

if TYPE_CHECKING:
    from ca_server.core.bundle import Bundle
    from ca_server.hsm.port import TokenRecord
    from ceremony.plan import Plan

WIDTH = 80
_CLEAR = "\x1b[2J\x1b[3J\x1b[H"
_CLEARING_LINES = 200
_MAX_RECORDING_BYTES = 16 * 1024 * 1024
_INDENT = "     "
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
# How a step tells that it made something.
_MADE = re.compile(r"(.+) SHA-256 ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class _PlanLine:
    words: str
    signers: str


class Shown(Protocol):
    """A step, as far as it is shown."""

    @property
    def id(self) -> str:
        """Its name in the script."""


class Display:
    """Shows a ceremony as it goes, and remembers all of it but secrets."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._shown: list[str] = []
        self._earlier = ""
        self._asked = ""
        self._kept_in: Path | None = None
        self._plan: list[_PlanLine] = []

    def recording(self) -> str:
        """Everything that was shown and typed, as plain text; of secrets, only that they were."""
        return self._earlier + "".join(f"{line}\n" for line in self._shown)

    def keep_in(self, path: Path) -> None:
        """Keep what is shown in a file too, line by line; what an earlier process left there comes first.

        Raises:
            CaError: unavailable, it cannot be written; conflict, `CEREMONY-FILE-CHANGED`, a link is there, or
                more than a recording can be.
        """
        append(path, b"")
        earlier = read_below(path.parent, path.name, _MAX_RECORDING_BYTES)
        if len(earlier) > _MAX_RECORDING_BYTES:
            raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", f"{path.name} is too long to be a recording")
        self._earlier = earlier.decode("utf-8", "replace")
        self._kept_in = path
        for line in self._shown:
            self._write_down(line)

    # The plan, the step at hand, and what comes next.

    def show_plan(self, plan: Plan, mode: str | None = None) -> None:
        """What will happen and who signs, and the digest that everybody compares with what was approved."""
        script = plan.script
        self._rule("=", mode.upper() if mode else "THE PLAN")
        self._wrapped(script.title, style="bold")
        self._wrapped(f"ceremony {script.id}, of kind {script.kind}, {len(script.steps)} steps")
        self.show_digest("the script", plan.sha256)
        self._line()
        self._line(" no  step, and what will happen", style="bold")
        self._plan = [
            _PlanLine(
                f"{step.id}: {step.describe(script)}",
                ", ".join(counted(script.roles[RoleName(role)].quorum, role) for role in step.signers()),
            )
            for step in script.steps
        ]
        for number, line in enumerate(self._plan, 1):
            self._wrapped(line.words, first=f"{number:3}  ", rest=_INDENT)
            if line.signers:
                self._wrapped(f"signed by {line.signers}", first=_INDENT, rest=_INDENT)

    @contextmanager
    def step(self, number: int, total: int, step: Shown) -> Iterator[Callable[[str], None]]:
        """One step, from its announcement to what came of it, which the yielded function is told."""
        self._rule("-", f"step {number} of {total}: {step.id}")
        self._announce(number)
        results: list[str] = []
        started = time.perf_counter()
        try:
            yield results.append
        except BaseException:
            self._wrapped(f"STOPPED at step {step.id} ({number} of {total})", style="bold red")
            raise
        seconds = time.perf_counter() - started
        for result in results:
            if match := _MADE.fullmatch(result):
                self.show_digest(match[1], match[2])
        plain = [result for result in results if not _MADE.fullmatch(result)]
        self._wrapped(f"done: {'; '.join((*plain, f'{seconds:.2f} s'))}", style="green")

    def _announce(self, number: int) -> None:
        """What happens in a step of the plan, who signs it, and what comes after it."""
        for word, line in zip(("now", "then"), self._plan[number - 1 : number + 1], strict=False):
            self._wrapped(f"{word:<5}{line.words}", rest=_INDENT, style="bold" if word == "now" else "")
            if word == "now" and line.signers:
                self._wrapped(f"signed by {line.signers}", first=_INDENT, rest=_INDENT)

    def say(self, words: str, *, style: str = "") -> None:
        """Words for everybody; lines of their own stay so."""
        for line in words.splitlines():
            self._wrapped(line, style=style)

    def show_command(self, command: str) -> None:
        """A command to be typed or copied, in one line."""
        self._line(f"  {command}", style="bold")

    # What is compared.

    def show_digest(self, what: str, digest: str) -> None:
        """A SHA-256 in one piece to be copied, then in fours with the words that are read aloud."""
        self._line(f"SHA-256 of {what}:")
        self._line(f"  {digest}", style="bold")
        words = to_words(digest)
        for row in range(0, len(words), 4):
            digits = f"{digest[2 * row : 2 * row + 4]} {digest[2 * row + 4 : 2 * row + 8]}"
            said = "".join(f"{word:<12}" for word in words[row : row + 4])
            self._line(f"  {digits:<9}  {said}".rstrip(), style="cyan")

    def show_tokens(self, tokens: Mapping[str, TokenRecord]) -> None:
        """Which device each alias turned out to be."""
        for alias, token in tokens.items():
            device = f"{token.manufacturer} {token.model}, serial {token.serial}, firmware {token.firmware}"
            self._wrapped(f"token {alias}: '{token.label}', {device}", rest="  ")

    def gate(self, name: str, role: str, signed: Sequence[str], wanted: int) -> None:
        """How far a gate has come in one role, after somebody signed."""
        marks = "[x]" * len(signed) + "[ ]" * (wanted - len(signed))
        text = f"gate {name}, {role}: {marks} {len(signed)} of {wanted} signed: {', '.join(signed)}"
        self._wrapped(text, rest="  ", style="green" if len(signed) >= wanted else "")

    # What was not planned, and the end.

    def show_deviation(self, number: int, text: str, decision: str, by: str) -> None:
        """A deviation that was written down, counted from 1."""
        self._wrapped(f"DEVIATION {number}: {text}", rest="  ", style="yellow")
        self._wrapped(f"  decided by {by}: {decision}", rest="  ", style="yellow")

    def show_outcome(self, outcome: str, deviations: int, bundle: Path, sha256: str) -> None:
        """How it ended, the digest of the bundle to be read aloud, and what to do with it."""
        self._rule("=", outcome.upper())
        self._wrapped(f"the ceremony ended: {outcome}, {counted(deviations, 'deviation')}", style="bold")
        self.show_digest("the bundle", sha256)
        self._line("next, on another machine:")
        self.show_command(f"sealkeeper ceremony verify {bundle} --sha256 {sha256}")

    def show_bundle(self, bundle: Bundle) -> None:
        """What a bundle holds and how its ceremony ended, and the digest to compare before it is trusted."""
        closing = bundle.closing
        self._wrapped(
            f"ceremony {closing.ceremony}, of kind {closing.kind}, {closing.mode}: {closing.outcome}"
        )
        for name, digest in sorted(closing.files.items()):
            self._line(f"  {digest}  {name}")
        self.show_digest("the bundle", bundle.sha256)

    # Asking, and secrets.

    def ask(self, words: str) -> None:
        """A question, whose answer is typed behind it; `typed` ends the line."""
        self._asked = words
        self._console.print(Text(f"{printable(words)} ", style="bold"), end="", soft_wrap=True)
        self._console.file.flush()

    def typed(self, answer: str) -> None:
        """What was typed behind the question."""
        self.remember(f"{self._asked} {answer}".rstrip())

    def show_secret(self, lines: Iterable[str]) -> None:
        """Lines for one person's eyes: neither remembered nor given to anything that records the console.

        Raises:
            CaError: unavailable, `CEREMONY-TERMINAL`, what is shown here goes to a file or a program.
        """
        if not self._console.file.isatty():
            detail = "a secret is shown at a terminal alone, and this output goes somewhere else"
            raise refuse(Kind.UNAVAILABLE, "CEREMONY-TERMINAL", detail)
        self._console.file.write("".join(f"{line}\n" for line in lines))
        self._console.file.flush()

    def wipe(self) -> None:
        """Take what is on the screen away, and what can be scrolled back to."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            self._console.file.write("\n" * _CLEARING_LINES)
            self.say("This console cannot be cleared: clear what it keeps, or switch it off and on, now.")
        else:
            self._console.file.write(_CLEAR)
            self._console.file.flush()

    def draw(self, picture: str, what: str) -> None:
        """A picture made of characters; it is remembered by its name alone."""
        self._console.file.write(f"{picture}\n")
        self.remember(f"({what} was shown)")

    def remember(self, words: str) -> None:
        """Keep a line that somebody else shows, or that stands for a secret."""
        line = printable(words)
        self._shown.append(line)
        self._write_down(line)

    def _rule(self, character: str, words: str) -> None:
        self._line()
        self._line(f"{2 * character} {printable(words)} ".ljust(WIDTH, character), style="bold")

    def _wrapped(self, text: str, *, first: str = "", rest: str = "", style: str = "") -> None:
        if _DIGEST.search(text):
            self._line(first + text, style=style)
            return
        lines = textwrap.wrap(
            printable(text),
            WIDTH,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines or [""]:
            self._line(line, style=style)

    def _line(self, text: str = "", *, style: str = "") -> None:
        self.remember(text)
        self._console.print(Text(printable(text), style=style), soft_wrap=True)

    def _write_down(self, line: str) -> None:
        if self._kept_in is not None:
            append(self._kept_in, f"{line}\n".encode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """The text with every sign that is not one to look at, such as a terminal's controls, spelt out."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def counted(number: int, what: str) -> str:
    """A number of things in words: `no devices`, `1 device`, `2 internal-witnesses`."""
    plural = "es" if what.endswith("s") else "s"
    return f"{number or 'no'} {what}{'' if number == 1 else plural}"
