"""Frames drawn as QR codes: on a terminal by characters alone, without colour, and as pictures in files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import segno

from ceremony.qr import to_frames

MAX_JOINED = 16
"""How many codes structured append can join (ISO/IEC 18004 §8)."""

_PICTURE_CHARACTERS = 500, 1990
_BORDER = 2
# Version -> characters of alphanumeric mode at error level L (ISO/IEC 18004 table 7).
CAPACITY = dict(
    zip(
        range(3, 21),
        (77, 114, 154, 195, 224, 279, 335, 395, 468, 535, 619, 667, 758, 854, 938, 1046, 1153, 1249),
        strict=True,
    )
)
# What structured append takes of each code: 20 bits, and at most one character is lost by rounding.
_JOINING = 4
_BLOCKS = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
_WITHOUT_BLOCKS = ("dumb", "vt", "unknown")


@dataclass(frozen=True, slots=True)
class Screen:
    """What a terminal can show: its size in characters, and whether it has block characters."""

    columns: int
    rows: int
    blocks: bool

    @classmethod
    def of(cls, stream: TextIO) -> Screen:
        """The terminal behind a stream; without one, 80 by 24 and plain ASCII."""
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, io.UnsupportedOperation):
            return cls(80, 24, blocks=False)
        unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
        plain = os.environ.get("TERM", "dumb").startswith(_WITHOUT_BLOCKS)
        return cls(size.columns or 80, size.lines or 24, blocks=unicode and not plain)

    @property
    def version(self) -> int:
        """The largest version of code that fits, and the smallest useful one where none does."""
        # Half blocks: a character is one module wide and two high. ASCII: two characters are one module, and
        # a whole code may be higher than the screen, as on 24 rows none would fit.
        modules = min(self.columns, 2 * (self.rows - 2)) if self.blocks else self.columns // 2
        fitting = [version for version in CAPACITY if 17 + 4 * version + 2 * _BORDER <= modules]
        return max(fitting, default=min(CAPACITY))


def on_screen(content: bytes, screen: Screen, *, inverted: bool = False) -> tuple[str, ...]:
    """The codes of a file, each as lines of characters for this screen.

    The light modules are drawn, because most consoles write light on dark; `inverted` is for dark on light.

    Raises:
        CaError: as `to_frames`.
    """
    frames = to_frames(content, CAPACITY[screen.version] - _JOINING)
    draw = _half_blocks if screen.blocks else _ascii
    return tuple(draw(code, inverted=inverted) for code in _codes(frames, "l"))


def pictures(content: bytes) -> tuple[tuple[str, segno.QRCode], ...]:
    """Each frame of a file with its code, as few and small as one sheet of paper or one camera likes.

    Raises:
        CaError: as `to_frames`.
    """
    least, most = _PICTURE_CHARACTERS
    # Base32 makes 8 characters of 5 bytes; 40 is more than a frame's other parts.
    wanted = -(-len(content) * 8 // (5 * MAX_JOINED)) + 40
    frames = to_frames(content, min(max(wanted, least), most))
    return tuple(zip(frames, _codes(frames, "m"), strict=True))


def _codes(frames: Sequence[str], error: str) -> Sequence[segno.QRCode]:
    """One code a frame. Up to 16 are joined by structured append, which cuts the whole into equal frames."""
    if 1 < len(frames) <= MAX_JOINED:
        joined = segno.make_sequence(
            "".join(frames), error=error, mode="alphanumeric", boost_error=False, symbol_count=len(frames)
        )
        return tuple(joined)
    return tuple(
        segno.make_qr(frame, error=error, mode="alphanumeric", boost_error=False) for frame in frames
    )


def _light(code: segno.QRCode, *, inverted: bool) -> list[list[bool]]:
    return [[bool(module) == inverted for module in row] for row in code.matrix_iter(border=_BORDER)]


def _half_blocks(code: segno.QRCode, *, inverted: bool) -> str:
    rows = _light(code, inverted=inverted)
    if len(rows) % 2:
        rows.append([not inverted] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(_BLOCKS[pair] for pair in zip(*two, strict=True)) for two in pairs)


def _ascii(code: segno.QRCode, *, inverted: bool) -> str:
    rows = _light(code, inverted=inverted)
    return "\n".join("".join("##" if light else "  " for light in row) for row in rows)
