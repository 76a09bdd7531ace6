"""Tile names, bundles, and trees kept in tiles."""

from __future__ import annotations

import pytest

from ca_server.core.audit.record import leaf_hash
from ca_server.core.audit.tiles import (
    MAX_ENTRY_BYTES,
    Tile,
    bundles_of,
    decode_bundle,
    encode_bundle,
    parse_tile,
    split_hashes,
    tile_at,
)
from ca_server.core.audit.tree import Frontier, TiledTree, read_frontier
from ca_server.core.errors import CaError

NAMES = [
    (Tile(0, 0), "tile/0/000"),
    (Tile(0, 999, 5), "tile/0/999.p/5"),
    (Tile(0, 1000), "tile/0/x001/000"),
    (Tile(1, 1234067), "tile/1/x001/x234/067"),
    (Tile(63, 7, 255), "tile/63/007.p/255"),
    (Tile(None, 1234, 1), "tile/entries/x001/234.p/1"),
]


@pytest.mark.parametrize(("tile", "name"), NAMES)
def test_names(tile, name):
    assert tile.path == name
    assert parse_tile(name.removeprefix("tile/")) == tile


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0",
        "0/",
        "0/0",
        "0/00",
        "0/0000",
        "0/x000",
        "0/x000/001",
        "0/001/234",
        "0/x001/x234",
        "00/001",
        "64/000",
        "100/000",
        "-1/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/300",
        "0/000.p/01",
        "0/000.p/",
        "0/000.p/5/",
        "0/000/../001",
        "entries/",
        "data/000",
        "0/\u0660\u0660\u0661",
        "0/" + "x001/" * 20 + "001",
        "0/000\n",
    ],
)
def test_other_names_are_no_tiles(name):
    with pytest.raises(CaError) as caught:
        parse_tile(name)
    assert caught.value.rule_ids == ("AUDIT-TILE",)


def test_the_tiles_of_the_specifications_example():
    """C2SP tlog-tiles: a tree of 70,000 leaves, and one of exactly 256."""
    assert tile_at(0, 272, 70_000) == Tile(0, 272)
    assert tile_at(0, 273, 70_000) == Tile(0, 273, 112)
    assert tile_at(1, 0, 70_000) == Tile(1, 0)
    assert tile_at(1, 1, 70_000) == Tile(1, 1, 17)
    assert tile_at(2, 0, 70_000) == Tile(2, 0, 1)
    assert tile_at(1, 0, 256) == Tile(1, 0, 1)
    for level, index, size in [(0, 274, 70_000), (2, 1, 70_000), (3, 0, 70_000), (0, 1, 256), (0, 0, 0)]:
        with pytest.raises(ValueError, match="has no tile"):
            tile_at(level, index, size)


def test_when_a_tile_exists():
    assert Tile(0, 273, 112).end == 70_000
    assert Tile(1, 1, 17).end == (256 + 17) * 256
    assert Tile(None, 2, 3).end == 2 * 256 + 3


def test_bundles_of_a_tree():
    assert list(bundles_of(0)) == []
    assert list(bundles_of(256)) == [Tile(None, 0)]
    assert list(bundles_of(513)) == [Tile(None, 0), Tile(None, 1), Tile(None, 2, 1)]


def test_bundle_encoding():
    entries = [b"", b"a", b"x" * MAX_ENTRY_BYTES]
    data = encode_bundle(entries)
    assert data[:5] == b"\0\0\0\1a"
    assert decode_bundle(data, 3) == entries


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\0", 1),
        (b"\0\1", 1),
        (b"\0\1a\0", 1),
        (b"\0\1a\0\1b", 1),
        (b"\0\1a", 2),
        (b"\0\2a", 1),
    ],
)
def test_broken_bundles_are_refused(data, width):
    with pytest.raises(CaError) as caught:
        decode_bundle(data, width)
    assert caught.value.rule_ids == ("AUDIT-TILE",)


def test_a_tile_of_another_length_is_refused():
    with pytest.raises(CaError, match="a tile of 2 hashes"):
        split_hashes(bytes(65), 2)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 65_535, 65_536, 65_537])
def test_a_frontier_is_read_back_as_it_grew(size):
    leaf = leaf_hash(b"same")
    tiles: dict = {}
    frontier, grown = Frontier().append([leaf] * size)
    tiles.update(grown)

    def read(tile):
        return tiles[tile.level, tile.index][: tile.width * 32]

    assert read_frontier(size, read) == frontier
    if size:
        assert TiledTree(size, read).root_at(size) == frontier.root()
