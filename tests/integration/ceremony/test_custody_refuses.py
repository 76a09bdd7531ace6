"""What must stop a ceremony of custody: each with class and rule in the transcript, and nothing signed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ca_server.core.errors import CaError
from ceremony import practice
from ceremony.event import go_on
from ceremony.people import Paused
from ceremony.steps import check, destroy, media
from tests.fixtures.certifying import HeldKind, _closed_afterwards, ready
from tests.fixtures.commands import run
from tests.fixtures.custody import anchors, next_roster
from tests.fixtures.softhsm import MODULE_PLACES

pytestmark = pytest.mark.hsm

ON_SPARE = ('hsm = "vault"\ntype = "ec-p384"', 'hsm = "vault"\ntype = "ec-p256"')


def resumed(held: HeldKind) -> str:
    """How a ceremony ends that is gone on with."""
    with _closed_afterwards():
        return str(go_on(held.folder).outcome)


def stopped(held: HeldKind, failure: str, rule: str) -> None:
    stop = held.stop()
    assert (stop["failure"], stop["rule_ids"]) == (failure, [rule])
    assert held.signatures() == 0


def share_file(room, person: str, share_set: str) -> Path:
    return room.pins.parent / "practice/shares" / person / share_set


@pytest.fixture
def backed_up(practice_room):
    """A room in which a backup was made, and what came of it."""
    held = practice_room.hold(ready("key-backup", ON_SPARE))
    record = {"root_r2_backup": held.file("shares/root-r2-backup.json")}
    blob = {
        "root_r2_record": held.file("backups/root-r2.json"),
        "root_r2_blob": held.file("backups/root-r2.blob"),
    }
    return practice_room, record, record | blob


RESTORE = ready("key-restore", ('type = "ec-p384"', 'type = "ec-p256"'))


@pytest.mark.parametrize("copied", [0, 5])
def test_a_medium_that_is_pulled_out_stops_the_export_which_goes_on_when_it_is_back(
    practice_room, monkeypatch, copied
):
    copy, count = media.place_below, 0

    def pull_out(medium, name, data):
        nonlocal count
        if count == copied:
            shutil.rmtree(medium)
        count += 1
        copy(medium, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(media, "place_below", pull_out)
        error, held = practice_room.refused(ready("hsm-init"))
    assert error.rule_ids == ("CEREMONY-MEDIA",)
    stopped(held, "F0", "CEREMONY-MEDIA")
    for name in ("media-1", "media-2"):
        (held.folder / name).mkdir(exist_ok=True)
    assert resumed(held) == "completed"


def test_a_full_medium_stops_the_export(practice_room, monkeypatch):
    def no_space(medium, name, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media, "place_below", no_space)
    _, held = practice_room.refused(ready("hsm-init"))
    stopped(held, "F0", "CEREMONY-MEDIA")


def test_a_medium_that_gives_back_something_else_stops_the_export(practice_room, monkeypatch):
    copy = media.place_below
    monkeypatch.setattr(media, "place_below", lambda medium, name, data: copy(medium, name, b"x"))
    _, held = practice_room.refused(ready("hsm-init"))
    stopped(held, "F0", "CEREMONY-MEDIA")


def test_a_link_on_a_medium_is_not_followed(practice_room, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    perform = media.ExportMedia.perform

    def lay_a_link_first(self, room):
        (room.host.media[0] / "hsm-init").symlink_to(elsewhere)
        return perform(self, room)

    monkeypatch.setattr(media.ExportMedia, "perform", lay_a_link_first)
    _, held = practice_room.refused(ready("hsm-init"))
    stopped(held, "F0", "CEREMONY-MEDIA")
    assert not list(elsewhere.iterdir())


def test_a_second_key_under_the_label_of_a_new_one_is_seen(practice_room, monkeypatch):
    """Somebody who has the PIN makes it with a tool of others while the ceremony goes on."""
    module = next(place for place in MODULE_PLACES if Path(place).exists())
    perform = check.Check.perform

    def make_a_twin_first(self, room):
        # Before the ceremony all is tried in memory, in a folder of its own.
        if self.subject == "root-r1" and room.folder.root.name == "ceremony-1":
            run(
                *("pkcs11-tool", "--module", module, "--token-label", "REHEARSAL-root", "--login"),
                *("--pin", (practice_room.pins / "root").read_text().strip(), "--keypairgen"),
                *("--key-type", "EC:secp384r1", "--label", "root-r1", "--id", "77" * 16),
                SOFTHSM2_CONF=str(practice_room.pins.parent / "softhsm2.conf"),
            )
        return perform(self, room)

    monkeypatch.setattr(check.Check, "perform", make_a_twin_first)
    error, held = practice_room.refused(ready("root-generate"))
    assert (held.stop()["failure"], set(held.stop()["rule_ids"])) == ("F3", {"CEREMONY-INVENTORY"})
    words = [each.detail for each in error.violations]
    assert "root holds 2 keys of class private-key with the label 'root-r1'" in words
    evidence = json.loads(held.file("evidence/root-after.json").read_bytes())
    assert [each["class"] for each in evidence].count("private-key") == 2


def test_a_share_with_one_wrong_word_stops_a_restore_and_no_word_is_told(backed_up):
    room, _, inputs = backed_up
    path = share_file(room, "custodian-2", "root-r2-backup")
    words = path.read_text().split()
    wrong = [*words[:9], "academic" if words[9] != "academic" else "acid", *words[10:]]
    path.write_text(" ".join(wrong))
    error, held = room.refused(RESTORE, **inputs)
    stopped(held, "F0", "CEREMONY-SHARE")
    transcript = held.file("transcript.jsonl").read_text()
    assert not [word for word in {*words[4:], words[9]} if f" {word} " in transcript + error.detail]
    path.write_text(" ".join(words))
    assert resumed(held) == "completed"


def test_a_share_of_another_set_stops_a_restore(backed_up):
    room, _, inputs = backed_up
    again = ('id = "key-backup"', 'id = "key-backup-2"'), ('label = "root-r2"', 'label = "root-r3"')
    other = room.hold(ready("key-backup", *again, ON_SPARE))
    assert other.file("shares/root-r2-backup.json").exists()
    _, held = room.refused(RESTORE, **inputs)
    stopped(held, "F3", "CEREMONY-SHARE-SET")


def test_somebody_elses_share_stops_an_audit(backed_up):
    room, record, _ = backed_up
    one, other = (share_file(room, f"custodian-{number}", "root-r2-backup") for number in (1, 4))
    shutil.copy(other, one)
    _, held = room.refused(ready("share-audit"), **record)
    stopped(held, "F3", "CEREMONY-SHARE-SET")


def test_an_audit_needs_everyone_of_the_record(backed_up):
    room, record, _ = backed_up
    _, held = room.refused(ready("share-audit", ("quorum = 5", "quorum = 4")), **record)
    stopped(held, "F0", "CEREMONY-SHARE-CUSTODIAN")


def test_too_few_custodians_cannot_restore(backed_up):
    room, _, inputs = backed_up
    _, held = room.refused(RESTORE.replace("quorum = 3", "quorum = 2"), **inputs)
    stopped(held, "F0", "CEREMONY-SHARE-COUNT")


def test_a_blob_of_another_backup_is_refused(backed_up, tmp_path):
    room, _, inputs = backed_up
    blob = bytearray(inputs["root_r2_blob"].read_bytes())
    blob[-1] ^= 1
    inputs["root_r2_blob"] = tmp_path / "blob"
    inputs["root_r2_blob"].write_bytes(blob)
    _, held = room.refused(RESTORE, **inputs)
    stopped(held, "F0", "CEREMONY-BACKUP")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":"ceremony-shares/v1"}', b"\xff"])
def test_what_is_no_record_of_shares_is_refused(practice_room, tmp_path, data):
    (tmp_path / "record").write_bytes(data)
    _, held = practice_room.refused(ready("share-audit"), root_r2_backup=tmp_path / "record")
    stopped(held, "F0", "CEREMONY-SHARES")


def test_a_key_that_was_not_made_for_it_is_not_backed_up(practice_room):
    _, held = practice_room.refused(ready("key-backup", ('backup = "wrap"\n', "")))
    stopped(held, "F0", "CEREMONY-BACKUP")


def test_an_incomplete_set_of_shares_is_destroyed(practice_room, monkeypatch):
    hand_over = practice.PracticeOfficers.hand_over_share

    def stop_at_the_third(self, person, share_set, mnemonic):
        if person == "custodian-3":
            raise Paused
        hand_over(self, person, share_set, mnemonic)

    monkeypatch.setattr(practice.PracticeOfficers, "hand_over_share", stop_at_the_third)
    _, held = practice_room.refused(ready("key-backup"))
    stopped(held, "F3", "CEREMONY-SHARE-INCOMPLETE")
    assert not list((practice_room.pins.parent / "practice/shares").glob("*/*"))
    destroyed = [line["data"] for line in held.lines() if "share_set_destroyed" in line["data"]]
    assert destroyed[0]["share_set_destroyed"]["handed_over"] == ["custodian-1", "custodian-2", "custodian-3"]


def test_a_custodian_who_writes_down_a_wrong_word_spoils_the_set(practice_room, monkeypatch):
    hand_over = practice.PracticeOfficers.hand_over_share

    def forget_a_word(self, person, share_set, mnemonic):
        words = mnemonic.split()
        hand_over(self, person, share_set, " ".join(words[:-1]) if person == "custodian-2" else mnemonic)

    monkeypatch.setattr(practice.PracticeOfficers, "hand_over_share", forget_a_word)
    _, held = practice_room.refused(ready("key-backup"))
    stopped(held, "F3", "CEREMONY-SHARE-INCOMPLETE")


def test_shares_go_to_nobody_who_did_not_sign_to_be_there(practice_room):
    _, held = practice_room.refused(ready("key-backup", ("quorum = 5", "quorum = 4")))
    stopped(held, "F0", "CEREMONY-SHARE-CUSTODIAN")
    assert not list((practice_room.pins.parent / "practice").glob("shares/*"))


def test_nobody_has_shares_of_both_secrets_of_a_device(practice_room):
    _, held = practice_room.refused(
        ready(
            "hsm-init",
            (
                '[shares.vault-user]\ngroup = "key-officers"',
                '[shares.vault-user]\ngroup = "security-officers"',
            ),
        )
    )
    stopped(held, "F3", "CEREMONY-DISTINCT-ROLES")


def test_a_device_that_is_in_use_is_not_initialised(practice_room):
    first = practice_room.hold(ready("hsm-init"))
    _, held = practice_room.refused(ready("hsm-init"))
    stopped(held, "F3", "CEREMONY-TOKEN-BINDING")
    assert first.lines()[-1]["data"] == {"outcome": "completed"}


@pytest.mark.parametrize("field", ['shares = "vault-user"\n', 'officer_shares = "vault-officer"\n'])
def test_a_device_is_initialised_with_both_secrets_split(practice_room, field):
    error, _ = practice_room.refused(ready("hsm-init", (field, "")))
    assert error.rule_ids == ("CEREMONY-SHARES",)


def test_a_new_key_is_proven_with_that_key(practice_room, tmp_path):
    practice_room.hold(ready("hsm-init"))
    officers = practice_room.pins.parent / "practice"
    roster = json.loads(next_roster(officers))
    other = json.loads(next_roster(officers, "key-officer-8"))["persons"][-1]["keys"][0]
    roster["persons"][-1]["keys"] = [other]
    (tmp_path / "roster").write_text(json.dumps(roster, sort_keys=True, separators=(",", ":")))
    _, held = practice_room.refused(ready("roster-change"), new_roster=tmp_path / "roster")
    stop = held.stop()
    assert (stop["failure"], stop["rule_ids"]) == ("F0", ["CEREMONY-SIGNATURE"])


def test_a_person_proves_the_new_key_and_not_the_old_one(practice_room, tmp_path):
    practice_room.hold(ready("hsm-init"))
    officers = practice_room.pins.parent / "practice"
    roster = json.loads(next_roster(officers))
    new = roster["persons"].pop()
    roster["groups"]["key-officers"].remove(new["id"])
    person = next(each for each in roster["persons"] if each["id"] == "key-officer-2")
    person["keys"].append(new["keys"][0])
    (tmp_path / "roster").write_text(json.dumps(roster, sort_keys=True, separators=(",", ":")))
    _, held = practice_room.refused(ready("roster-change"), new_roster=tmp_path / "roster")
    stopped(held, "F0", "CEREMONY-CANDIDATE")


def test_a_roster_that_does_not_follow_is_refused(practice_room, tmp_path):
    practice_room.hold(ready("hsm-init"))
    roster = json.loads(next_roster(practice_room.pins.parent / "practice"))
    roster["sequence"] = 3
    (tmp_path / "roster").write_text(json.dumps(roster, sort_keys=True, separators=(",", ":")))
    _, held = practice_room.refused(ready("roster-change"), new_roster=tmp_path / "roster")
    stopped(held, "F0", "CEREMONY-ROSTER-SUCCESSOR")


def test_a_copy_that_nobody_can_show_stops_the_end_of_a_device(backed_up, monkeypatch):
    room, record, _ = backed_up
    answer = practice.PracticeOfficers.answer

    def lose(self, question):
        return "missing" if question.name == "root-r2-backup-custodian-4-photo" else answer(self, question)

    monkeypatch.setattr(practice.PracticeOfficers, "answer", lose)
    _, held = room.refused(ready("decommission"), **record)
    stopped(held, "F3", "CEREMONY-COPY-MISSING")


def test_nothing_is_destroyed_that_the_approved_order_does_not_list(backed_up, monkeypatch):
    room, record, _ = backed_up
    perform = destroy.DestroyKeys.perform

    def add_a_key_first(self, place):
        place.token("vault").store.generate("ec-p256", label="late", key_id=b"late" * 4)
        return perform(self, place)

    monkeypatch.setattr(destroy.DestroyKeys, "perform", add_a_key_first)
    _, held = room.refused(ready("decommission"), **record)
    stopped(held, "F3", "CEREMONY-INVENTORY")
    assert not [line for line in held.lines() if "destroyed" in line["data"]]


def test_a_log_without_any_anchor_of_its_own_has_no_new_epoch(practice_room, tmp_path):
    inputs = anchors(tmp_path, (10, b"a" * 32), (12, b"b" * 32))
    (tmp_path / "other").mkdir()
    inputs["log-vkey"] = anchors(tmp_path / "other", (1, b"c" * 32), (1, b"c" * 32))["log-vkey"]
    named = {name.replace("-", "_"): path for name, path in inputs.items()}
    _, held = practice_room.refused(ready("log-epoch"), **named)
    stopped(held, "F0", "CEREMONY-ANCHOR")


def test_two_roots_of_one_size_are_in_the_report_that_is_signed(practice_room, tmp_path):
    inputs = anchors(tmp_path, (12, b"a" * 32), (12, b"b" * 32))
    held = practice_room.hold(
        ready("log-epoch"), **{name.replace("-", "_"): path for name, path in inputs.items()}
    )
    report = json.loads(held.file("papers/reconcile.json").read_bytes())
    assert report["disagreements"] == [
        {"anchors": ["checkpoint-database", "checkpoint-witness"], "why": "two roots of 12 records"}
    ]


def test_an_old_secret_opens_nothing_after_new_shares(practice_room):
    """With the old shares laid back, a script that still names the old set cannot log in."""
    practice_room.hold(ready("hsm-init"))
    officers = practice_room.pins.parent / "practice/shares"
    shutil.copytree(officers, officers.with_name("kept"))
    first = practice_room.pins.parent.parent / "ceremony-1"
    practice_room.hold(ready("re-share"), vault_user=first / "files/shares/vault-user.json")
    for path in officers.with_name("kept").glob("*/vault-user"):
        shutil.copy(path, officers / path.parent.name / "vault-user")
    with pytest.raises(CaError) as error:
        practice_room.hold(ready("re-share"), vault_user=first / "files/shares/vault-user.json")
    assert "refused the PIN" in error.value.detail
