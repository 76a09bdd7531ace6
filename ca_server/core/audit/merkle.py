"""The Merkle tree of RFC 6962 §2.1: roots, inclusion and consistency proofs, and their verification.

Proofs are made top-down (which subtrees are needed) and verified bottom-up (which side a hash is on), by
two algorithms that share no code, so that neither can hide a mistake of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ca_server.core.errors import CaError, Kind, refuse

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Range = tuple[int, int]
Node = Callable[[int, int], bytes]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the complete subtrees that a list of equal subtrees falls into, largest first."""
    found: list[bytes] = []
    row = list(hashes)
    while row:
        if len(row) % 2:
            found.append(row.pop())
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return found[::-1]


def fold(complete: Sequence[bytes]) -> bytes:
    """The root of the tree whose complete subtrees, largest first, are given."""
    if not complete:
        return EMPTY_ROOT
    root = complete[-1]
    for left in reversed(complete[:-1]):
        root = node_hash(left, root)
    return root


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes: MTH of RFC 6962 §2.1."""
    return fold(peaks(hashes))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The leaf ranges whose roots prove that a leaf is in a tree, leaf's sibling first (§2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_size(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, size: int) -> list[Range]:
    """The leaf ranges whose roots prove that a tree grew out of an older one (§2.1.2)."""
    if not 1 <= old_size <= size:
        raise ValueError(f"no consistency proof from {old_size} to {size}")
    ranges: list[Range] = []
    start, end = 0, size
    while old_size != end:
        middle = start + _left_size(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:
        ranges.append((start, end))
    return ranges[::-1]


def range_root(start: int, end: int, node: Node) -> bytes:
    """The root over the leaves of a range that a proof asked for.

    `node(level, index)` is the root of the complete subtree of 2^level leaves that begins at leaf
    index * 2^level. Such a range starts at a multiple of every subtree in it.
    """
    complete = []
    while start < end:
        level = (end - start).bit_length() - 1
        complete.append(node(level, start >> level))
        start += 1 << level
    return fold(complete)


def verify_inclusion(index: int, size: int, leaf_hash: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf is in the tree with this root (RFC 9162 §2.1.3.2).

    Raises:
        CaError: AUDIT-INCLUSION; the proof does not show it.
    """
    failed = _broken("AUDIT-INCLUSION", f"the proof does not show leaf {index} in the tree of {size}")
    if not 0 <= index < size or not _are_hashes(leaf_hash, root, *path):
        raise failed
    at, last, computed = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            raise failed
        if at % 2 or at == last:
            computed = node_hash(sibling, computed)
            while at and not at % 2:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last or computed != root:
        raise failed


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Check that a tree holds an older tree unchanged (RFC 9162 §2.1.4.2).

    Raises:
        CaError: AUDIT-CONSISTENCY; the proof does not show it.
    """
    failed = _broken("AUDIT-CONSISTENCY", f"the tree of {size} does not hold the tree of {old_size}")
    if not 1 <= old_size <= size or not _are_hashes(old_root, root, *path):
        raise failed
    if old_size == size:
        if path or old_root != root:
            raise failed
        return
    # A complete old tree is itself the first node of the walk, and is left out of the proof.
    nodes = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    if len(nodes) < 2:
        raise failed
    at, last = old_size - 1, size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    old_computed = computed = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise failed
        if at % 2 or at == last:
            old_computed = node_hash(sibling, old_computed)
            computed = node_hash(sibling, computed)
            while at and not at % 2:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last or old_computed != old_root or computed != root:
        raise failed


def _left_size(size: int) -> int:
    """The largest power of two smaller than `size`: how many leaves the left subtree has."""
    return 1 << (size - 1).bit_length() - 1


def _are_hashes(*values: bytes) -> bool:
    # An empty root with an empty leaf would otherwise "prove" anything of a one-leaf tree.
    return all(len(value) == HASH_SIZE for value in values)


def _broken(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.MALFORMED, rule_id, detail)
