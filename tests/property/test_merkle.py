"""Trees of any size: growing equals building, every proof verifies, and no other does."""

from __future__ import annotations

import hashlib
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ca_server.core.audit import merkle
from ca_server.core.audit.tiles import Tile
from ca_server.core.audit.tree import Frontier, TiledTree
from ca_server.core.errors import CaError

sizes = st.integers(1, 1200)


def leaves_of(size: int) -> list[bytes]:
    return [hashlib.sha256(b"\0" + at.to_bytes(4, "big")).digest() for at in range(size)]


def slow_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1 word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = slow_root(leaves[:split]), slow_root(leaves[split:])
    return hashlib.sha256(b"\1" + left + right).digest()


class Tiles:
    """Keeps tiles as the database does: rewritten whole, read as prefixes."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], bytes] = {}

    def write(self, tiles: dict[tuple[int, int], bytes]) -> None:
        for place, hashes in tiles.items():
            assert hashes.startswith(self.rows.get(place, b""))
            self.rows[place] = hashes

    def read(self, tile: Tile) -> bytes:
        return self.rows[tile.level or 0, tile.index][: tile.width * 32]


def grown(size: int, steps: list[int]) -> tuple[Frontier, Tiles]:
    leaves, tiles, frontier = leaves_of(size), Tiles(), Frontier()
    cuts = sorted({*(step % (size + 1) for step in steps), 0, size})
    for start, end in itertools.pairwise(cuts):
        frontier, touched = frontier.append(leaves[start:end])
        tiles.write(touched)
    return frontier, tiles


@given(sizes, st.lists(st.integers(0, 5000), max_size=8))
@settings(max_examples=60, deadline=None)
def test_growing_in_any_steps_equals_building_at_once(size, steps):
    frontier, _ = grown(size, steps)
    assert frontier.size == size
    assert frontier.root() == merkle.root_of(leaves_of(size)) == slow_root(leaves_of(size))


@given(sizes, st.integers(0, 5000), st.integers(0, 5000), st.data())
@settings(max_examples=80, deadline=None)
def test_every_inclusion_proof_verifies_and_no_mutation_does(size, index, step, data):
    index %= size
    frontier, tiles = grown(size, [step])
    path = list(TiledTree(size, tiles.read).inclusion_proof(index))
    leaf, root = leaves_of(size)[index], frontier.root()
    merkle.verify_inclusion(index, size, leaf, path, root)
    for arguments in inclusion_mutations(index, size, leaf, path, root, data):
        assert refused(merkle.verify_inclusion, arguments), arguments


@given(sizes, st.integers(0, 5000), st.data())
@settings(max_examples=80, deadline=None)
def test_every_consistency_proof_verifies_and_no_mutation_does(size, old, data):
    old = old % size + 1
    frontier, tiles = grown(size, [old])
    tree = TiledTree(size, tiles.read)
    path = list(tree.consistency_proof(old))
    old_root, root = tree.root_at(old), frontier.root()
    assert old_root == slow_root(leaves_of(old))
    merkle.verify_consistency(old, old_root, size, root, path)
    for arguments in consistency_mutations(old, old_root, size, root, path, data):
        assert refused(merkle.verify_consistency, arguments), arguments


def flip(value: bytes, data) -> bytes:
    bit = data.draw(st.integers(0, 255))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def mutated_paths(path: list[bytes], data):
    extra = hashlib.sha256(b"extra").digest()
    yield [*path, extra]
    yield [extra, *path]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        yield path[:at] + path[at + 1 :]
        yield [*path[:at], flip(path[at], data), *path[at + 1 :]]
        yield [*path[:at], path[at][:-1], *path[at + 1 :]]
        yield [*path[:at], extra, *path[at:]]
    if len(path) > 1:
        yield [path[1], path[0], *path[2:]]


def inclusion_mutations(index, size, leaf, path, root, data):
    yield from ((index, size, leaf, wrong, root) for wrong in mutated_paths(path, data))
    yield index, size, flip(leaf, data), path, root
    yield index, size, leaf, path, flip(root, data)
    other = data.draw(st.integers(0, size).filter(lambda at: at != index))
    yield other, size, leaf, path, root


def consistency_mutations(old, old_root, size, root, path, data):
    yield from ((old, old_root, size, root, wrong) for wrong in mutated_paths(path, data))
    yield old, flip(old_root, data), size, root, path
    yield old, old_root, size, flip(root, data), path
    if old != size:
        yield old, root, size, old_root, path
        yield size, old_root, old, root, path


def refused(verify, arguments) -> bool:
    try:
        verify(*arguments)
    except CaError:
        return True
    return False
