"""The anchor's file: compare-and-swap, durable, and strict about what it reads."""

from __future__ import annotations

import json
import threading

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.store.anchor import Anchored, FileAnchor


def head(size: int, origin: str = "ca.example/log") -> Anchored:
    return Anchored(origin, size, bytes([size]) * 32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "anchor.json"


def test_nothing_is_there_at_first(path):
    assert FileAnchor(path).read() is None


def test_swapping(path):
    anchor = FileAnchor(path)
    assert anchor.swap(None, head(1))
    assert anchor.swap(head(1), head(2))
    assert FileAnchor(path).read() == head(2)
    assert json.loads(path.read_text()) == {"origin": "ca.example/log", "root": "02" * 32, "size": 2}


def test_a_swap_that_expects_something_else_changes_nothing(path):
    anchor = FileAnchor(path)
    assert not anchor.swap(head(1), head(2))
    assert anchor.read() is None
    assert anchor.swap(None, head(1))
    for expected in (None, head(2), head(1, "other")):
        assert not anchor.swap(expected, head(3))
    assert anchor.read() == head(1)


def test_a_swap_can_be_repeated(path):
    anchor = FileAnchor(path)
    assert anchor.swap(None, head(1))
    assert anchor.swap(None, head(1))


def test_one_of_many_swaps_at_once_wins(path):
    won = []
    barrier = threading.Barrier(8)

    def run(size):
        barrier.wait()
        if FileAnchor(path).swap(None, head(size)):
            won.append(size)

    threads = [threading.Thread(target=run, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert FileAnchor(path).read() == head(won[0])


GOOD = {"origin": "o", "root": "00" * 32, "size": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{}",
        json.dumps(GOOD | {"more": 1}),
        json.dumps(GOOD | {"origin": 1}),
        json.dumps(GOOD | {"root": "00"}),
        json.dumps(GOOD | {"root": None}),
        json.dumps(GOOD | {"root": "zz" * 32}),
        json.dumps(GOOD | {"size": -1}),
        json.dumps(GOOD | {"size": "1"}),
        json.dumps(GOOD | {"size": True}),
        json.dumps(GOOD | {"size": 1.0}),
        json.dumps(GOOD)[:-1],
        "[" * 4000,
        json.dumps(GOOD | {"origin": "o" * 5000}),
    ],
)
def test_a_file_that_is_no_anchor_is_refused_and_kept(path, text):
    path.write_text(text)
    anchor = FileAnchor(path)
    for act in (anchor.read, lambda: anchor.swap(None, head(1))):
        with pytest.raises(CaError) as caught:
            act()
        assert caught.value.rule_ids == ("AUDIT-ANCHOR",)
    assert path.read_text() == text


def test_a_place_that_cannot_be_used_is_unavailable(tmp_path):
    (tmp_path / "folder").mkdir()
    for anchor in (FileAnchor(tmp_path / "folder"), FileAnchor(tmp_path / "none" / "anchor.json")):
        with pytest.raises(CaError) as caught:
            anchor.swap(None, head(1))
        assert caught.value.kind is Kind.UNAVAILABLE


def test_a_write_that_fails_leaves_the_old_head(path, monkeypatch):
    anchor = FileAnchor(path)
    assert anchor.swap(None, head(1))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CaError, match="No space left"):
        anchor.swap(head(1), head(2))
    monkeypatch.undo()
    assert anchor.read() == head(1)
    assert anchor.swap(head(1), head(2))
