"""A step that is tried again: what it has left itself it knows, and what is somebody else's stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ca_server.core.errors import CaError
from ca_server.hsm.administration import slots, zeroise_token
from ca_server.hsm.ceremony_token import open_for_ceremony
from ca_server.hsm.pin import PinSource
from ca_server.hsm.port import HsmUnavailable
from ca_server.hsm.settings import TokenSettings
from ceremony import event
from ceremony.event import go_on
from ceremony.steps import backup, zeroise
from tests.fixtures.certifying import HeldKind, PracticeRoom, _closed_afterwards, ready
from tests.fixtures.softhsm import MODULE_PLACES

pytestmark = pytest.mark.hsm

SMALL = ('hsm = "vault"\ntype = "ec-p384"', 'hsm = "vault"\ntype = "ec-p256"')
INTO_VAULT = ready("key-restore", ('type = "ec-p384"', 'type = "ec-p256"')).replace('"spare"', '"vault"')
INTO_VAULT = INTO_VAULT.replace("[hsm.spare]", "[hsm.vault]")


def installed_module() -> Path:
    return next(Path(place) for place in MODULE_PLACES if Path(place).exists())


def keys_in(room: PracticeRoom, alias: str) -> list[tuple[str, bytes]]:
    """Label and id of each private key of a device."""
    with room.tokens():
        pin = PinSource.from_file(room.pins / alias)
        store = open_for_ceremony(TokenSettings(installed_module(), f"REHEARSAL-{alias}", pin))
        found = [(each.label, each.key_id) for each in store.inventory()]
        store.close()
    return found


def resumed(held: HeldKind) -> str:
    with _closed_afterwards():
        return str(go_on(held.folder).outcome)


def stopped_for_good(held: HeldKind) -> None:
    """Stopped as the place is taken, and stopped again at every further try."""
    for _ in range(2):
        stop = held.stop()
        assert (stop["failure"], stop["rule_ids"]) == ("F0", ["CEREMONY-LABEL-USED"])
        with pytest.raises(CaError) as error:
            resumed(held)
        assert error.value.rule_ids == ("CEREMONY-LABEL-USED",)
    assert held.signatures() == 0


@pytest.fixture
def backed_up(practice_room):
    held = practice_room.hold(ready("key-backup", SMALL))
    return practice_room, {
        "root_r2_backup": held.file("shares/root-r2-backup.json"),
        "root_r2_record": held.file("backups/root-r2.json"),
        "root_r2_blob": held.file("backups/root-r2.blob"),
    }


def test_a_restore_never_destroys_the_original_however_often_it_is_tried(backed_up):
    room, inputs = backed_up
    original = keys_in(room, "vault")
    assert [label for label, _ in original] == ["root-r2"]
    _, held = room.refused(INTO_VAULT, **inputs)
    stopped_for_good(held)
    assert keys_in(room, "vault") == original


def test_a_restore_that_was_cut_off_destroys_only_its_own_copy(backed_up, monkeypatch):
    room, inputs = backed_up
    script = ready("key-restore", ('type = "ec-p384"', 'type = "ec-p256"'))
    unwraps = 0

    class Failing:
        def __init__(self, store):
            self._store = store

        def __getattr__(self, name):
            return getattr(self._store, name)

        def unwrap(self, *arguments, **names):
            nonlocal unwraps
            unwraps += 1
            self._store.unwrap(*arguments, **names)
            raise HsmUnavailable("the token is away")

    with monkeypatch.context() as patch:
        patch.setattr(event, "open_for_ceremony", lambda settings: Failing(open_for_ceremony(settings)))
        _, held = room.refused(script, **inputs)
    assert held.stop()["failure"] == "F1"
    assert unwraps == 1
    assert resumed(held) == "completed"
    assert keys_in(room, "spare") == []


def test_a_backup_is_not_proven_on_a_device_that_holds_a_copy_already(practice_room, monkeypatch):
    perform = backup.BackUpKey.perform

    def put_a_copy_there_first(self, room):
        key_id = bytes.fromhex(room.entry(self.key).id)
        room.token(self.prove_on).store.generate("ec-p256", label="root-r2", key_id=key_id)
        return perform(self, room)

    with monkeypatch.context() as patch:
        patch.setattr(backup.BackUpKey, "perform", put_a_copy_there_first)
        _, held = practice_room.refused(ready("key-backup", SMALL))
    stopped_for_good(held)
    assert [label for label, _ in keys_in(practice_room, "spare")] == ["root-r2"]
    assert not list((practice_room.pins.parent / "practice").glob("shares/*/*"))


def test_a_key_of_an_earlier_ceremony_is_never_taken_over(practice_room):
    script = ready("root-generate")
    practice_room.hold(script)
    _, held = practice_room.refused(script.replace("objects = 0\n", ""))
    stopped_for_good(held)
    assert not held.file("authorities/root-r1.cer").exists()


TWO_DEVICES = ready(
    "decommission",
    ("[hsm.vault]", "[hsm.vault]\n[hsm.spare]"),
    (
        '[[steps]]\nid = "erase"',
        '[[steps]]\nid = "erase-spare"\ndo = "hsm.zeroise"\nhsm = "spare"\n\n[[steps]]\nid = "erase"',
    ),
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_device_is_not_taken_for_erased_because_another_one_was(backed_up, monkeypatch, after):
    room, inputs = backed_up
    calls: list[str] = []

    def go_away(module, label, pin, *, new_label):
        calls.append(label)
        if label == "REHEARSAL-spare" or after:
            record = zeroise_token(module, label, pin, new_label=new_label)
        if label == "REHEARSAL-vault":
            raise HsmUnavailable("the token is away")
        return record

    with monkeypatch.context() as patch:
        patch.setattr(zeroise, "zeroise_token", go_away)
        _, held = room.refused(TWO_DEVICES, root_r2_backup=inputs["root_r2_backup"])
    assert calls == ["REHEARSAL-spare", "REHEARSAL-vault"]
    assert held.stop()["failure"] == "F1"
    assert resumed(held) == "completed"
    labels = {
        json.loads(held.file(f"evidence/{step}.json").read_bytes())["label"]
        for step in ("erase", "erase-spare")
    }
    assert len(labels) == 2
    with room.tokens():
        named = {each.token.label for each in slots(installed_module()) if each.initialised}
    assert labels <= named
    assert not {"REHEARSAL-vault", "REHEARSAL-spare"} & named
