"""Checkpoints (C2SP tlog-checkpoint): what a log signs to say how large it is and what its root is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ca_server.core.audit.base64_text import decode_base64, encode_base64
from ca_server.core.audit.merkle import HASH_SIZE
from ca_server.core.audit.note import VerifierKey, open_note
from ca_server.core.errors import CaError, Kind, refuse

MAX_SIZE = (1 << 63) - 1

_DECIMAL = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head; `origin` names the log and is also the name of its key."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """The note text that is signed. No extension lines: nobody could audit them."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a checkpoint; extension lines of other logs are accepted and ignored.

    Raises:
        CaError: malformed, AUDIT-CHECKPOINT.
    """
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        raise _malformed("a checkpoint is UTF-8 text") from None
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise _malformed("a checkpoint is at least three lines, none of them empty")
    origin, size, root = lines[:3]
    root_hash = decode_base64(root)
    if parse_decimal(size) is None or root_hash is None or len(root_hash) != HASH_SIZE:
        raise _malformed("the second line of a checkpoint is a size, the third a SHA-256 root")
    return Checkpoint(origin, int(size), root_hash)


def open_checkpoint(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Read a checkpoint that one of the log's own keys signed.

    Raises:
        CaError: malformed (AUDIT-NOTE, AUDIT-CHECKPOINT), or the signature is missing or wrong
            (AUDIT-SIGNATURE), or another log signed (AUDIT-ORIGIN).
    """
    opened = open_note(note, keys)
    checkpoint = parse_checkpoint(opened.text)
    if checkpoint.origin not in {key.name for key in opened.signed_by}:
        raise refuse(
            Kind.MALFORMED, "AUDIT-ORIGIN", "the checkpoint is not signed by the log that it speaks of"
        )
    return checkpoint


def parse_decimal(text: str) -> int | None:
    """A size or index in ASCII digits without leading zeroes, or None."""
    return int(text) if _DECIMAL.fullmatch(text) and int(text) <= MAX_SIZE else None


def _malformed(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "AUDIT-CHECKPOINT", detail)
