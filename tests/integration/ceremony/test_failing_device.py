"""A device that goes away at any call, before or after it did its work: a clear word, then resume."""

from __future__ import annotations

import pytest

from ca_server.core.bundle import read_bundle
from ca_server.core.errors import Kind, refuse
from ca_server.hsm.ceremony_token import open_for_ceremony
from ca_server.hsm.port import HsmUnavailable
from ceremony import event
from ceremony.room import Room
from tests.fixtures.certifying import PracticeRoom, ready

pytestmark = pytest.mark.hsm

# The key, the root's signature over itself, and that over its CRL.
CALLS = ("key-root-r1", "sign-root-r1", "sign-root-r1-crl")


class Failing:
    """A token that is away at its n-th generation or signature."""

    def __init__(self, store, calls: int, *, after: bool) -> None:
        self._store = store
        self._left = [calls]
        self._after = after

    def __getattr__(self, name):
        return getattr(self._store, name)

    def generate(self, *arguments, **names):
        return self._guard(lambda: self._store.generate(*arguments, **names))

    def signer(self, **names):
        return FailingSigner(self._store.signer(**names), self._guard)

    def _guard(self, call):
        self._left[0] -= 1
        if self._left[0] < 0 and not self._after:
            raise HsmUnavailable("the token is away")
        result = call()
        if self._left[0] < 0:
            raise HsmUnavailable("the token is away")
        return result


class FailingSigner:
    def __init__(self, signer, guard) -> None:
        self._signer = signer
        self._guard = guard

    def __getattr__(self, name):
        return getattr(self._signer, name)

    def sign(self, data, algorithm):
        return self._guard(lambda: self._signer.sign(data, algorithm))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", range(len(CALLS)), ids=CALLS)
def test_what_a_failure_leaves_is_said_and_gone_on_with(
    practice_room: PracticeRoom, monkeypatch, calls, after
):
    with monkeypatch.context() as patch:
        patch.setattr(
            "ceremony.event.open_for_ceremony",
            lambda settings: Failing(open_for_ceremony(settings), calls, after=after),
        )
        error, held = practice_room.refused(ready("root-generate"))
    assert "the token is away" in error.detail
    assert f"stopped at {CALLS[calls]} (F1)" in error.detail
    assert "Resume: the token is asked, not guessed." in error.detail
    assert held.stop()["failure"] == "F1"
    assert held.lines()[-1]["step"] == CALLS[calls]
    assert not held.bundle.exists()
    with practice_room.tokens():
        assert event.go_on(held.folder).outcome == "completed"
    bundle = read_bundle(held.bundle.read_bytes())
    assert [key.label for key in bundle.keys] == ["root-r1"]


def test_a_disk_that_is_full_once_the_token_did_its_work_is_not_called_nothing_done(
    practice_room: PracticeRoom, monkeypatch
):
    """The key is in the token and in the transcript; what is written after that finds no place."""
    write = Room.write

    def full(room: Room, name: str, data: bytes) -> str:
        # The dry run before it has a folder of its own.
        if name.startswith("keys/") and room.folder.root.name == "ceremony-1":
            raise refuse(Kind.UNAVAILABLE, "CEREMONY-DISK", f"{name} cannot be written")
        return write(room, name, data)

    with monkeypatch.context() as patch:
        patch.setattr("ceremony.room.Room.write", full)
        error, held = practice_room.refused(ready("root-generate"))
    assert error.rule_ids == ("CEREMONY-DISK",)
    assert (held.stop()["failure"], held.lines()[-1]["step"]) == ("F1", "key-root-r1")
    with practice_room.tokens():
        assert event.go_on(held.folder).outcome == "completed"
    assert [key.label for key in read_bundle(held.bundle.read_bytes()).keys] == ["root-r1"]
