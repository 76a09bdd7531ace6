"""The tree as static resources (C2SP tlog-tiles): coordinates, paths, hash tiles, entry bundles.

A tile holds up to 256 hashes of one level, and stands for a subtree of height 8. The rightmost tile of a
level may be partial; its width is then part of its name, so that every resource stays what it was.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ca_server.core.audit.merkle import HASH_SIZE
from ca_server.core.errors import CaError, Kind, refuse

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 0xFFFF
MAX_PATH = 64

_PATH = re.compile(r"(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile stands; `level` None names the bundle of entries beside a tile of level 0."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The resource's name below the log's prefix, such as `tile/0/x001/234.p/5`."""
        groups = f"{self.index:03d}"
        groups = groups.zfill(-(-len(groups) // 3) * 3)
        parts = [groups[at : at + 3] for at in range(0, len(groups), 3)]
        number = "/".join(["x" + part for part in parts[:-1]] + parts[-1:])
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{number}{partial}"

    @property
    def end(self) -> int:
        """How many leaves a tree must have for this tile to exist in it."""
        return self.index * WIDTH + self.width << HEIGHT * (self.level or 0)


def parse_tile(text: str) -> Tile:
    """Read what follows `tile/` in a resource's name; every tile has exactly one name.

    Raises:
        CaError: not_found, AUDIT-TILE; the name is none that this specification gives.
    """
    match = _PATH.fullmatch(text) if len(text) <= MAX_PATH else None
    if match is None:
        raise refuse(Kind.NOT_FOUND, "AUDIT-TILE", "no tile has this name")
    level = None if match[1] == "entries" else int(match[1])
    tile = Tile(level, int(re.sub(r"\D", "", match[2])), int(match[3] or WIDTH))
    if (level or 0) > MAX_LEVEL or tile.width > WIDTH or tile.path != f"tile/{text}":
        raise refuse(Kind.NOT_FOUND, "AUDIT-TILE", "no tile has this name")
    return tile


def tile_at(level: int, index: int, size: int) -> Tile:
    """The tile of a tree of `size` leaves at a place, as wide as that tree makes it.

    Raises:
        ValueError: that tree has no such tile.
    """
    width = min(WIDTH, (size >> HEIGHT * level) - index * WIDTH)
    if width < 1:
        raise ValueError(f"a tree of {size} has no tile {index} at level {level}")
    return Tile(level, index, width)


def bundles_of(size: int) -> Iterator[Tile]:
    """Every entry bundle of a tree."""
    for first in range(0, size, WIDTH):
        yield Tile(None, first // WIDTH, min(WIDTH, size - first))


def split_hashes(data: bytes, width: int) -> list[bytes]:
    """The hashes of a tile.

    Raises:
        CaError: malformed, AUDIT-TILE; the tile is not `width` hashes long.
    """
    if len(data) != width * HASH_SIZE:
        raise _malformed(f"a tile of {width} hashes has {len(data)} bytes")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries one after the other, each after its length in two bytes."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        CaError: malformed, AUDIT-TILE; the bundle does not hold exactly `width` whole entries.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        if at + 2 > len(data):
            raise _malformed("an entry bundle ends in the middle of a length")
        (length,) = struct.unpack_from(">H", data, at)
        at += 2 + length
        entries.append(data[at - length : at])
    if at != len(data) or len(entries) != width:
        raise _malformed(f"an entry bundle does not hold exactly {width} entries")
    return entries


def _malformed(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "AUDIT-TILE", detail)
