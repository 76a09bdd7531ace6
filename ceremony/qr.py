"""A file as lines of text short enough for QR codes, and back: how files cross an air gap without media.

A frame is what one code holds, and what a scanner types or a photograph's reader gives:

    SK1 02 06 1F0C3A5D9B7E2244 9AF1 ORSXG5BAMRQXIYI.

The version; the number of this part, from 01, and of all parts; the first 16 hexadecimal digits of the
SHA-256 of the whole file, so that parts of two files never mix; the first 4 of the SHA-256 of the text from
the part's number to the data without this field, so that a misread frame is named at once; the data in
base32 (RFC 4648 §6) without padding; one or more full stops, which bring all frames of a file to one length.

Every character is of QR's alphanumeric mode (ISO/IEC 18004 §7.3.4) and, but for Y and Z, where most
countries' keyboards have it. A reader that joins structured-append codes itself gives all frames in one
line: the full stop ends each.
"""

from __future__ import annotations

import base64
import hashlib
import re

from ca_server.core.errors import Kind, refuse

MAX_BYTES = 64 * 1024
MAX_PARTS = 99
MAX_LINE_CHARACTERS = 2 * MAX_BYTES
"""Of one line of input: all frames of the largest file, joined."""

_FRAME = re.compile(r"SK1 ([0-9]{2}) ([0-9]{2}) ([0-9A-F]{16}) ([0-9A-F]{4}) ([A-Z2-7]*)\.+")
_NO_FRAME = "this is not a frame, which is SK1, two numbers, two check values, data and a full stop"
_OVERHEAD = len("SK1 02 06 1F0C3A5D9B7E2244 9AF1 .")


def to_frames(content: bytes, characters: int) -> tuple[str, ...]:
    """The frames of a file, each of the same length and of at most so many characters.

    Raises:
        CaError: malformed, `CEREMONY-QR-SIZE`; the file is too large, or too large for codes so small.
    """
    if len(content) > MAX_BYTES:
        raise refuse(
            Kind.MALFORMED, "CEREMONY-QR-SIZE", f"QR codes carry files of at most {MAX_BYTES // 1024} KiB"
        )
    whole = hashlib.sha256(content).hexdigest()[:16].upper()
    data = base64.b32encode(content).decode().rstrip("=")
    total = max(1, -(-len(data) // (characters - _OVERHEAD)))
    if total > MAX_PARTS:
        detail = f"{total} codes of {characters} characters would be needed; make larger ones, in files"
        raise refuse(Kind.MALFORMED, "CEREMONY-QR-SIZE", detail)
    size = -(-len(data) // total)
    return tuple(
        _frame(f"{number:02} {total:02} {whole}", data[(number - 1) * size : number * size], size)
        for number in range(1, total + 1)
    )


def _frame(place: str, data: str, size: int) -> str:
    return f"SK1 {place} {_check(place, data)} {data}".ljust(size + _OVERHEAD, ".")


def _check(place: str, data: str) -> str:
    return hashlib.sha256(f"{place} {data}".encode()).hexdigest()[:4].upper()


class Collector:
    """Takes the frames of one file in any order, and gives the file once it is whole."""

    def __init__(self) -> None:
        self._parts: dict[int, str] = {}
        self._total = 0
        self._whole = ""

    @property
    def total(self) -> int:
        """How many parts there are; 0 before the first frame."""
        return self._total

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the parts that have not come yet."""
        return tuple(number for number in range(1, self._total + 1) if number not in self._parts)

    @property
    def complete(self) -> bool:
        """Whether every part is there."""
        return bool(self._parts) and not self.missing

    def add(self, line: str) -> tuple[int, ...]:
        """Take the frame, or the joined frames, of one line; the numbers of the parts in it.

        Raises:
            CaError: malformed, `CEREMONY-QR-FRAME`, it is no frame or was misread; conflict,
                `CEREMONY-QR-SET`, it is of another file. What was taken before stays.
        """
        text = line.strip().upper()
        found = list(_FRAME.finditer(text)) if len(text) <= MAX_LINE_CHARACTERS else []
        if not found or "".join(match[0] for match in found) != text:
            raise refuse(
                Kind.MALFORMED, "CEREMONY-QR-FRAME", "this is not a frame: SK1, numbers, data, full stop"
            )
        return tuple(self._take(match) for match in found)

    def content(self) -> bytes:
        """The file, whose digest is the one that its frames named.

        Raises:
            CaError: not ready, `CEREMONY-QR-MISSING`, parts are missing; conflict, `CEREMONY-QR-DIGEST`, the
                parts do not make the file.
        """
        if not self.complete:
            numbers = ", ".join(map(str, self.missing)) or "all"
            raise refuse(Kind.NOT_READY, "CEREMONY-QR-MISSING", f"parts are missing: {numbers}")
        data = "".join(self._parts[number] for number in range(1, self._total + 1))
        try:
            content = base64.b32decode(data + "=" * (-len(data) % 8))
        except ValueError:
            content = b""
        if hashlib.sha256(content).hexdigest()[:16].upper() != self._whole:
            detail = (
                "the parts are there, but together they do not have the digest that they name: begin again"
            )
            raise refuse(Kind.CONFLICT, "CEREMONY-QR-DIGEST", detail)
        return content

    def _take(self, match: re.Match[str]) -> int:
        number, total, whole, check, data = match.groups()
        if check != _check(f"{number} {total} {whole}", data) or not 1 <= int(number) <= int(total):
            raise refuse(Kind.MALFORMED, "CEREMONY-QR-FRAME", f"part {number} was misread: read it again")
        self._require_same_file(int(total), whole)
        if self._parts.setdefault(int(number), data) != data:
            raise refuse(Kind.CONFLICT, "CEREMONY-QR-SET", f"part {number} came before, with other content")
        return int(number)

    def _require_same_file(self, total: int, whole: str) -> None:
        if not self._total:
            self._total, self._whole = total, whole
        if (total, whole) != (self._total, self._whole):
            detail = (
                f"this frame is of another file ({whole.lower()}) than those before ({self._whole.lower()})"
            )
            raise refuse(Kind.CONFLICT, "CEREMONY-QR-SET", detail)
