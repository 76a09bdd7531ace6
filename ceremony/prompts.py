"""The people of a ceremony at a terminal: they choose, read, sign, keep shares and answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ceremony.display import Display
from ceremony.keyboard import HELP, Keyboard
from ceremony.people import Question
from ceremony.share_prompts import SharePrompts
from ceremony.signing_prompts import SigningPrompts


class AtTerminal:
    """People who sit at this machine; what they type instead of an answer is raised, as `People` says."""

    def __init__(
        self, display: Display, keyboard: Keyboard, signing: SigningPrompts, shares: SharePrompts
    ) -> None:
        self._display = display
        self._keyboard = keyboard
        self._signing = signing
        self._shares = shares
        self._helped = False

    def choose(self, role: str, candidates: Sequence[str], signed: Sequence[str]) -> str:
        """Who signs next: a number or an id from a list; ENTER takes the first."""
        if not self._helped:
            self._display.say(HELP)
            self._helped = True
        if signed:
            self._display.say(f"Signed as {role} so far: {', '.join(signed)}.")
        self._display.say(f"Who signs next as {role}?")
        for number, person in enumerate(candidates, 1):
            self._display.say(f"  {number}  {person}")
        while True:
            typed = self._keyboard.ask("number or id", candidates[0])
            if typed in candidates:
                return typed
            if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(candidates):
                return candidates[int(typed) - 1]
            self._display.say(f"Nobody of that number or id can sign as {role} now.")

    def sign(self, person: str, statement: Path, namespace: str) -> None:
        """Have the person read the statement and sign it, here, elsewhere or by QR codes."""
        self._signing.sign(person, statement, namespace)

    def hand_over_share(self, person: str, share_set: str, mnemonic: str) -> None:
        """Show the words to their custodian alone, and have them typed back before the screen is cleared."""
        self._shares.hand_over(person, share_set, mnemonic)

    def ask_share(self, person: str, share_set: str) -> str:
        """The words of a share, which nobody sees as they are typed."""
        return self._shares.ask(person, share_set)

    def destroy_share(self, person: str, share_set: str) -> None:
        """Go on once somebody says that it is so."""
        self.confirm(f"{person} shreds their share of {share_set} now, before everyone's eyes.")

    def answer(self, question: Question) -> str:
        """What is answered, asked again until it has the form that the question wants.

        The question's example is not shown: it may be what somebody is to find out.
        """
        self._display.say(question.words)
        while not re.fullmatch(question.pattern, typed := self._keyboard.ask(question.name)):
            self._display.say(f"That is no answer to this. It has the form: {question.form}.")
        return typed

    def confirm(self, words: str) -> None:
        """Go on once somebody has typed `yes`."""
        self._display.say(words)
        while self._keyboard.ask("Type yes when this is so") != "yes":
            self._display.say("Nothing goes on before somebody types yes.")
