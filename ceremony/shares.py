"""A secret in shares of which any `threshold` join it again, as words that people keep (SLIP-39).

The only module that knows the library `shamir-mnemonic`, which comes with the extra `shamir`. Its errors
quote words of a share, so none of them leaves this module: no word stands in what is raised here. The
library wipes nothing; shares are for an offline machine that is switched off after the ceremony.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TypeVar

from ca_server.core.errors import CaError, Kind, refuse

SECRET_BYTES = frozenset({16, 32})
MAX_SHARES = 16
_MAX_TEXT = 1024
_MAX_WORDS = 60
# 640,000 rounds of PBKDF2 (SLIP-39 calls it the iteration exponent; ours is 0).
_MAX_EXPONENT = 6
# Of SLIP-39's 1024 words no two begin with the same four letters.
_PREFIX = 4

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Shares:
    """All shares of one split; `identifier` (15 bits) is public and names the set."""

    identifier: int
    threshold: int
    mnemonics: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Share:
    """One share that was typed, in its canonical words; `index` counts from 0 in its set."""

    identifier: int
    index: int
    threshold: int
    digest: str
    mnemonic: str = field(repr=False)


def split(secret: bytes, threshold: int, count: int) -> Shares:
    """Split a secret of 16 or 32 random octets into `count` shares, any `threshold` of which join it.

    The polynomials are made of the operating system's randomness. The last shares are joined before
    anything is handed out.

    Raises:
        ValueError: another length, or not 2 <= threshold <= count <= 16.
        CaError: unavailable, CEREMONY-SHAMIR: the library is not installed.
    """
    if len(secret) not in SECRET_BYTES:
        raise ValueError("a secret of 16 or 32 octets is split")
    if not 2 <= threshold <= count <= MAX_SHARES:
        raise ValueError(f"2 <= threshold <= count <= {MAX_SHARES}")
    # A secret that is random needs no stretching, which is what the exponent is for.
    groups = _library().generate_mnemonics(1, [(threshold, count)], bytes(secret), iteration_exponent=0)
    mnemonics = tuple(groups[0])
    if not hmac.compare_digest(join(mnemonics[-threshold:]), secret):
        raise RuntimeError("shares do not join to what was split")
    return Shares(check_share(mnemonics[0]).identifier, threshold, mnemonics)


def join(mnemonics: Sequence[str], *, passphrase: bytes = b"") -> bytes:
    """The secret of which these are shares: exactly as many as its threshold, each once.

    Our own shares have no passphrase; other people's may have one.

    Raises:
        CaError: CEREMONY-SHARE, one is no share; CEREMONY-SHARE-SET, they are not of one set;
            CEREMONY-SHARE-COUNT, too few or too many; CEREMONY-SHAMIR, the library is not installed.
    """
    checked = [check_share(each) for each in mnemonics[: MAX_SHARES * MAX_SHARES]]
    _demand_one_set(checked)
    words = [each.mnemonic for each in checked]
    secret = _silently(lambda: _library().combine_mnemonics(words, passphrase))
    if secret is None:
        raise _refusal("CEREMONY-SHARE-SET", "these shares do not join to one secret")
    return bytes(secret)


def check_share(words: str, *, identifier: int | None = None) -> Share:
    """Read one share as it was typed: in any case and spacing, words in full or from four letters on.

    Raises:
        CaError: CEREMONY-SHARE, a word is unknown (its place is told), the checksum is wrong or the
            length is not a share's; CEREMONY-SHARE-SET, it is of another set than `identifier`.
    """
    mnemonic = _canonical(words)
    share = _silently(lambda: _library().Share.from_mnemonic(mnemonic))
    if share is None:
        raise _refusal(
            "CEREMONY-SHARE",
            f"{len(mnemonic.split())} words and no share: a word is wrong, missing or at another place",
        )
    if share.iteration_exponent > _MAX_EXPONENT:
        raise _refusal("CEREMONY-SHARE", "a share whose stretching would take minutes")
    if identifier is not None and share.identifier != identifier:
        raise _refusal(
            "CEREMONY-SHARE-SET",
            f"a share of the set {share.identifier}; one of the set {identifier} is asked for",
        )
    return Share(share.identifier, share.index, share.member_threshold, _digest(mnemonic), mnemonic)


def share_digest(mnemonic: str) -> str:
    """SHA-256 (hex) of a share's canonical words, in small letters with one blank between two.

    Nobody finds a share of a 256-bit secret from it, so that it is published and a share is checked
    without joining any.

    Raises:
        CaError: CEREMONY-SHARE, as `check_share`.
    """
    return check_share(mnemonic).digest


def is_word(word: str) -> bool:
    """Whether this can stand in a share: one of SLIP-39's words, or its first four letters or more."""
    return _word(word.lower()) is not None


def login_secret(secret: bytes, longest: int) -> str:
    """The PIN that a split secret stands for: its octets in lower-case hex, cut to what the token takes.

    `longest` is the token's longest PIN (CK_TOKEN_INFO.ulMaxPinLen). 32 octets make 64 characters; a token
    with fewer than 16, that is 64 bits, is refused.

    Raises:
        CaError: CEREMONY-SHARE-PIN, the token's PINs are too short to be split.
    """
    if longest < 16:
        raise _refusal(
            "CEREMONY-SHARE-PIN", f"the token takes PINs of {longest} characters; a split one has 16 or more"
        )
    return secret.hex()[:longest]


def _demand_one_set(shares: Sequence[Share]) -> None:
    """Refuse shares of several sets, and a number of shares that can join to nothing."""
    if not shares:
        raise _refusal("CEREMONY-SHARE-COUNT", "no share was given")
    library = _library()
    parsed = [library.Share.from_mnemonic(each.mnemonic) for each in shares]
    groups: dict[int, dict[int, str]] = {}
    for share, each in zip(parsed, shares, strict=True):
        members = groups.setdefault(share.group_index, {})
        if members.setdefault(share.index, each.digest) != each.digest:
            raise _refusal("CEREMONY-SHARE-SET", "two different shares have one place in their set")
    same_set = {share.common_parameters() for share in parsed}
    same_group = {share.group_parameters() for share in parsed}
    if len(same_set) > 1 or len(same_group) > len(groups):
        raise _refusal("CEREMONY-SHARE-SET", "the shares are not of one set")
    thresholds = {share.group_index: share.member_threshold for share in parsed}
    _demand_counts(groups, thresholds, parsed[0].group_threshold)


def _demand_counts(
    groups: Mapping[int, Mapping[int, str]], thresholds: Mapping[int, int], group_threshold: int
) -> None:
    if len(groups) != group_threshold:
        raise _refusal(
            "CEREMONY-SHARE-COUNT", f"shares of {len(groups)} groups where {group_threshold} are needed"
        )
    for group, members in groups.items():
        if len(members) != thresholds[group]:
            raise _refusal(
                "CEREMONY-SHARE-COUNT",
                f"{len(members)} different shares where exactly {thresholds[group]} are needed",
            )


def _canonical(text: str) -> str:
    """The words in full, in small letters, one blank between two."""
    words = text.lower().split() if len(text) <= _MAX_TEXT else []
    if not 0 < len(words) <= _MAX_WORDS:
        raise _refusal("CEREMONY-SHARE", f"a share has up to {_MAX_WORDS} words")
    found = [_word(word) for word in words]
    unknown = [str(place) for place, word in enumerate(found, 1) if word is None]
    if unknown:
        # By its place alone: a word that is nearly right tells of the share.
        raise _refusal("CEREMONY-SHARE", f"not a word of any share: number {', '.join(unknown)}")
    return " ".join(word for word in found if word is not None)


def _word(text: str) -> str | None:
    if len(text) < _PREFIX:
        return None
    _library()
    from shamir_mnemonic.wordlist import WORDLIST  # noqa: PLC0415  an extra, imported when it is used

    return next((word for word in WORDLIST if word.startswith(text)), None)


def _digest(mnemonic: str) -> str:
    return hashlib.sha256(mnemonic.encode()).hexdigest()


def _silently(call: Callable[[], _Answer]) -> _Answer | None:
    """What the library answers, or None where it refuses: its words, which quote a share, end here."""
    from shamir_mnemonic import MnemonicError  # noqa: PLC0415  an extra, imported when it is used

    try:
        return call()
    except (MnemonicError, ValueError):
        return None


def _library() -> ModuleType:
    try:
        import shamir_mnemonic  # noqa: PLC0415  an extra, imported when it is used
    except ImportError as error:
        raise refuse(
            Kind.UNAVAILABLE,
            "CEREMONY-SHAMIR",
            "splitting secrets needs the extra 'shamir': install sealkeeper[shamir]",
        ) from error
    return shamir_mnemonic


def _refusal(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.MALFORMED, rule_id, detail)
