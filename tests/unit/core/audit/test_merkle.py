"""The Merkle tree against published vectors, and against proofs that were tampered with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ca_server.core.audit import merkle
from ca_server.core.audit.record import leaf_hash
from ca_server.core.errors import CaError

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]
SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")


def node(level: int, index: int) -> bytes:
    return merkle.root_of(LEAVES[index << level : (index + 1) << level])


def hashes(vector) -> list[bytes]:
    return [bytes.fromhex(value) for value in vector["path"]]


def is_inclusion(*arguments) -> bool:
    return holds("AUDIT-INCLUSION", merkle.verify_inclusion, arguments)


def is_consistency(*arguments) -> bool:
    return holds("AUDIT-CONSISTENCY", merkle.verify_consistency, arguments)


def holds(rule_id, verify, arguments) -> bool:
    try:
        verify(*arguments)
    except CaError as error:
        if error.rule_ids != (rule_id,):
            raise
        return False
    return True


def with_a_bit_flipped(path: list[bytes]) -> list[list[bytes]]:
    return [[*path[:at], bytes([path[at][0] ^ 8]) + path[at][1:], *path[at + 1 :]] for at in range(len(path))]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size):
    assert merkle.root_of(LEAVES[:size]) == ROOTS[size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"])
def test_published_inclusion_proofs(vector):
    index, size, path = vector["index"], vector["size"], hashes(vector)
    made = [merkle.range_root(*each, node) for each in merkle.inclusion_ranges(index, size)]
    assert made == path
    assert is_inclusion(index, size, LEAVES[index], path, ROOTS[size])


@pytest.mark.parametrize("vector", VECTORS["consistency"])
def test_published_consistency_proofs(vector):
    old, size, path = vector["old_size"], vector["size"], hashes(vector)
    made = [merkle.range_root(*each, node) for each in merkle.consistency_ranges(old, size)]
    assert made == path
    assert is_consistency(old, ROOTS[old], size, ROOTS[size], path)


@pytest.mark.parametrize("vector", VECTORS["inclusion"][1:])
def test_corrupt_inclusion_proofs_are_refused(vector):
    index, size, path = vector["index"], vector["size"], hashes(vector)
    leaf, root = LEAVES[index], ROOTS[size]
    corrupt = [
        (index - 1, size, leaf, path, root),
        (index + 1, size, leaf, path, root),
        (index ^ 2, size, leaf, path, root),
        (index, size * 2, leaf, path, root),
        (index, size // 2, leaf, path, root),
        (index, size, b"WrongLeaf", path, root),
        (index, size, leaf, path, merkle.EMPTY_ROOT),
        (index, size, leaf, path, SOME_HASH),
        (index, size, leaf, [*path, b""], root),
        (index, size, leaf, [*path, root], root),
        (index, size, leaf, [b"", *path], root),
        (index, size, leaf, [root, *path], root),
        (index, size, leaf, path[:-1], root),
        (index, size, leaf, [path[0], SOME_HASH, *path[1:]], root),
        *((index, size, leaf, wrong, root) for wrong in with_a_bit_flipped(path)),
    ]
    assert [arguments for arguments in corrupt if is_inclusion(*arguments)] == []


@pytest.mark.parametrize("vector", VECTORS["consistency"][1:])
def test_corrupt_consistency_proofs_are_refused(vector):
    old, size, path = vector["old_size"], vector["size"], hashes(vector)
    old_root, root = ROOTS[old], ROOTS[size]
    corrupt = [
        (old - 1, old_root, size, root, path),
        (old + 1, old_root, size, root, path),
        (old ^ 2, old_root, size, root, path),
        (old, old_root, size * 2, root, path),
        (old, old_root, size // 2, root, path),
        (old, b"WrongRoot", size, root, path),
        (old, old_root, size, b"WrongRoot", path),
        (old, root, size, old_root, path),
        (old, old_root, size, root, []),
        (old, old_root, size, root, [*path, b""]),
        (old, old_root, size, root, [*path, old_root]),
        (old, old_root, size, root, [*path, root]),
        (old, old_root, size, root, [b"", *path]),
        (old, old_root, size, root, [old_root, *path]),
        (old, old_root, size, root, [root, *path]),
        (old, old_root, size, root, [path[0], *path]),
        (old, old_root, size, root, path[:-1]),
        *((old, old_root, size, root, wrong) for wrong in with_a_bit_flipped(path)),
    ]
    assert [arguments for arguments in corrupt if is_consistency(*arguments)] == []


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 0), (1, 1), (2, 1), (-1, 1)])
def test_no_proof_where_there_is_no_leaf(index, size):
    assert not is_inclusion(index, size, SOME_HASH, [], SOME_HASH)
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_ranges(index, size)


def test_hashes_that_are_not_32_bytes_prove_nothing():
    assert not is_inclusion(0, 1, b"", [], b"")
    assert not is_consistency(1, b"", 1, b"", [])
    assert is_inclusion(0, 1, SOME_HASH, [], SOME_HASH)


@pytest.mark.parametrize(("old", "size"), [(0, 1), (0, 0), (2, 1)])
def test_no_consistency_from_nothing_or_backwards(old, size):
    assert not is_consistency(old, merkle.EMPTY_ROOT, size, merkle.EMPTY_ROOT, [])
    with pytest.raises(ValueError, match="no consistency"):
        merkle.consistency_ranges(old, size)


def test_equal_trees_need_equal_roots_and_no_path():
    assert is_consistency(3, ROOTS[3], 3, ROOTS[3], [])
    assert not is_consistency(3, ROOTS[3], 3, ROOTS[2], [])
    assert not is_consistency(3, ROOTS[3], 3, ROOTS[3], [ROOTS[1]])
