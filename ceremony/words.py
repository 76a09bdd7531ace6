"""A digest as words that can be read aloud: one a byte, from two lists in turn.

Because even and odd places have lists of their own, a word that is lost, said twice or swapped with its
neighbour is heard at once, before any value is compared.
"""

from __future__ import annotations

from collections.abc import Iterable

from ca_server.core.errors import CaError, Kind, refuse
from ceremony.word_list import EVEN, ODD

MAX_WORDS = 64
"""Of a SHA-512; whatever is longer is no digest."""

_LISTS = (EVEN, ODD)
_VALUES = tuple({word.lower(): value for value, word in enumerate(words)} for words in _LISTS)


def to_words(digest: str) -> tuple[str, ...]:
    """The words of a digest in hexadecimal, the first byte's first."""
    return tuple(_LISTS[place % 2][value] for place, value in enumerate(bytes.fromhex(digest)))


def from_words(words: Iterable[str]) -> str:
    """The lower-case hexadecimal digest that these words say, in whatever case they are written.

    Raises:
        CaError: malformed, `CEREMONY-WORD`; the first word that is wrong, by its number.
    """
    values = bytearray()
    for place, word in enumerate(words):
        if place == MAX_WORDS:
            raise refuse(Kind.MALFORMED, "CEREMONY-WORD", f"there are more than {MAX_WORDS} words")
        value = _VALUES[place % 2].get(word.lower())
        if value is None:
            raise _wrong(place, word)
        values.append(value)
    return values.hex()


def _wrong(place: int, word: str) -> CaError:
    if word.lower() in _VALUES[(place + 1) % 2]:
        reason = f"'{word.lower()}' cannot stand here: a word before it was lost, said twice or swapped"
    else:
        reason = "it is not in the list"
    return refuse(Kind.MALFORMED, "CEREMONY-WORD", f"word {place + 1} is wrong: {reason}")
