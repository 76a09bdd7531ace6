"""What the engine asks of the people in the room; a terminal and practice officers answer in their ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Interrupted(Exception):
    """Somebody typed something other than the answer; nothing was done since the transcript's last line."""


class Paused(Interrupted):
    """The people want to stop for now and go on later."""


class Aborted(Interrupted):
    """The people end the ceremony here."""


class Deviated(Exception):
    """Somebody has a deviation to be written down; the question that was open is asked again after it."""

    def __init__(self, text: str, decision: str, by: str) -> None:
        super().__init__(text)
        self.text = text
        self.decision = decision
        self.by = by


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only people can see, such as a bag's number; the answer matches `pattern` whole.

    `form` says the same in words. `example` is an answer that has it; practice officers give it.
    """

    name: str
    words: str
    pattern: str
    form: str
    example: str


class People(Protocol):
    """The people of one ceremony.

    Every method may raise `Paused`, `Aborted` and, from a terminal, `Deviated`.
    """

    def choose(self, role: str, candidates: Sequence[str], signed: Sequence[str]) -> str:
        """Who of the candidates signs next in this role; `signed` have signed already."""

    def sign(self, person: str, statement: Path, namespace: str) -> None:
        """Have a person sign a statement; the SSHSIG then lies beside it as STATEMENT.sig.

        Raises:
            CaError: unavailable, the signature could not be made here.
        """

    def hand_over_share(self, person: str, share_set: str, mnemonic: str) -> None:
        """Give a share to its custodian alone, and see that it was written down rightly."""

    def ask_share(self, person: str, share_set: str) -> str:
        """The words of a custodian's share, as typed."""

    def destroy_share(self, person: str, share_set: str) -> None:
        """See that a custodian's share is destroyed before everyone's eyes."""

    def answer(self, question: Question) -> str:
        """What the people answer; it matches the question's pattern."""

    def confirm(self, words: str) -> None:
        """Go on once somebody says that this is so."""
