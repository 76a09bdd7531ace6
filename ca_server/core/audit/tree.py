"""A tree kept in tiles: how it grows, and how roots and proofs are read out of it.

`Frontier` is what a tree needs to grow: its size and the partial tile at the right end of each level, at
most 255 hashes each. `TiledTree` reads any older root or proof out of stored tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ca_server.core.audit import merkle
from ca_server.core.audit.tiles import HEIGHT, WIDTH, Tile, split_hashes, tile_at

ReadTile = Callable[[Tile], bytes]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree; `partials[level]` are the hashes of that level's partial tile."""

    size: int = 0
    partials: tuple[tuple[bytes, ...], ...] = ()

    def root(self) -> bytes:
        """The root of the tree."""
        complete = [peak for partial in reversed(self.partials) for peak in merkle.peaks(partial)]
        return merkle.fold(complete)

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[Frontier, dict[Place, bytes]]:
        """The frontier after more leaves, and the new content of every tile that they touch.

        The content is keyed by (level, index) and begins with what the tile held before.
        """
        tiles: dict[Place, bytes] = {}
        partials = list(self.partials)
        level, fresh = 0, list(leaf_hashes)
        while fresh:
            if level == len(partials):
                partials.append(())
            row = [*partials[level], *fresh]
            first = self.size >> HEIGHT * (level + 1)
            fresh = []
            for at in range(0, len(row), WIDTH):
                hashes = row[at : at + WIDTH]
                tiles[level, first + at // WIDTH] = b"".join(hashes)
                if len(hashes) == WIDTH:
                    fresh.append(merkle.root_of(hashes))
            partials[level] = tuple(row[len(fresh) * WIDTH :])
            level += 1
        return Frontier(self.size + len(leaf_hashes), tuple(partials)), tiles


def read_frontier(size: int, read: ReadTile) -> Frontier:
    """The frontier of a stored tree of `size` leaves."""
    partials: list[tuple[bytes, ...]] = []
    level, count = 0, size
    while count:
        width = count % WIDTH
        tile = Tile(level, count >> HEIGHT, width)
        partials.append(tuple(split_hashes(read(tile), width)) if width else ())
        level, count = level + 1, count >> HEIGHT
    return Frontier(size, tuple(partials))


class TiledTree:
    """A tree of `size` leaves, read tile by tile; each tile is read once."""

    def __init__(self, size: int, read: ReadTile) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[Tile, list[bytes]] = {}

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """The path that proves leaf `index` (RFC 6962 §2.1.1)."""
        return self._roots(merkle.inclusion_ranges(index, self._size))

    def consistency_proof(self, old_size: int) -> tuple[bytes, ...]:
        """The hashes that prove that the tree of `old_size` leaves is unchanged in this one (§2.1.2)."""
        return self._roots(merkle.consistency_ranges(old_size, self._size))

    def root_at(self, size: int) -> bytes:
        """The root that the tree had when it had `size` leaves."""
        return merkle.range_root(0, size, self._node)

    def _roots(self, ranges: Sequence[merkle.Range]) -> tuple[bytes, ...]:
        return tuple(merkle.range_root(start, end, self._node) for start, end in ranges)

    def _node(self, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        tile = tile_at(tile_level, first >> HEIGHT, self._size)
        if tile not in self._tiles:
            self._tiles[tile] = split_hashes(self._read(tile), tile.width)
        offset = first % WIDTH
        return merkle.root_of(self._tiles[tile][offset : offset + (1 << height)])
