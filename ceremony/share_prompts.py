"""Shares of a secret, between a custodian and a terminal: shown to one person, typed unseen, kept nowhere."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from ceremony.display import Display
from ceremony.keyboard import Keyboard

WORDS = 33
"""Of a share of a 256-bit secret (SLIP-39)."""
MAX_WORDS = 60
_ROW = 4


class SharePrompts:
    """`is_word` says whether a word can stand in a share at all, so that a slip is named at once."""

    def __init__(self, display: Display, keyboard: Keyboard, is_word: Callable[[str], bool]) -> None:
        self._display = display
        self._keyboard = keyboard
        self._is_word = is_word

    def hand_over(self, person: str, share_set: str, mnemonic: str) -> None:
        """Show a share to its custodian alone, and go on once it was typed back right.

        Raises:
            CaError: unavailable, `CEREMONY-TERMINAL`.
            Paused, Aborted, Deviated: somebody typed that.
        """
        words = mnemonic.split()
        self._display.say(f"A share of {share_set} is for {person} alone.")
        self._display.say("EVERYBODY ELSE LOOKS AWAY NOW.", style="bold")
        self._show(person, words)
        right = 0
        while right < len(words):
            typed = self._type(f"{person}, type them back from word {right + 1} on; ENTER alone shows them")
            if not typed:
                self._show(person, words)
            right += self._right(words[right:], typed, right)
        self._display.say(f"{person} has all {len(words)} words of a share of {share_set}.", style="green")

    def ask(self, person: str, share_set: str) -> str:
        """The words of a share, typed in one line or in several, of which an empty one is the end.

        Raises:
            CaError: unavailable, `CEREMONY-TERMINAL`.
            Paused, Aborted, Deviated: somebody typed that.
        """
        self._display.say(
            f"{person} types a share of {share_set}, all words or some at a time; nothing is shown. "
            "After a wrong word go on from it. An empty line ends a share of another length."
        )
        words: list[str] = []
        while len(words) < WORDS:
            typed = self._type(f"{person}, from word {len(words) + 1} of {WORDS} on")
            if not typed and words:
                break
            words += self._known(typed[: MAX_WORDS - len(words)], len(words))
        return " ".join(words)

    def _show(self, person: str, words: Sequence[str]) -> None:
        """Until the custodian has written them down; then nothing of them is left on the screen."""
        while self._keyboard.ask(f"{person} types their id to see the {len(words)} words") != person:
            self._display.say("That is not their id.")
        cells = [f"{number:3} {word:<12}" for number, word in enumerate(words, 1)]
        try:
            self._display.show_secret(
                "  ".join(cells[row : row + _ROW]) for row in range(0, len(cells), _ROW)
            )
            # Hidden too: whoever types the words here by mistake must not have them recorded.
            self._keyboard.ask_hidden("ENTER once they are written down and compared")
        finally:
            self._display.wipe()

    def _type(self, question: str) -> list[str]:
        return self._keyboard.ask_hidden(question).lower().split()

    def _right(self, wanted: Sequence[str], typed: Sequence[str], before: int) -> int:
        """How many of the typed words are those wanted, up to the first that is not."""
        for place, word in enumerate(typed):
            if place == len(wanted) or not hmac.compare_digest(word.encode(), wanted[place].encode()):
                self._display.say(
                    f"Word {before + place + 1} is not what was shown: go on from it.", style="red"
                )
                return place
        return len(typed)

    def _known(self, typed: Sequence[str], before: int) -> list[str]:
        """The typed words up to the first that cannot stand in a share."""
        for place, word in enumerate(typed):
            if not self._is_word(word):
                self._display.say(f"Word {before + place + 1} is not a word of any share: go on from it.")
                return list(typed[:place])
        return list(typed)
