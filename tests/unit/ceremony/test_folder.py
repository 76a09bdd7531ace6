"""The folder of a ceremony: a file is in its place whole or not at all."""

from __future__ import annotations

import hashlib
import os
import resource
import signal

import pytest

from ca_server.core.archive import MAX_ARCHIVE_BYTES, MAX_FILES
from ca_server.core.errors import CaError, Kind
from ceremony.folder import Folder, append, place, place_below, read_file
from ceremony.journal import Journal
from tests.fixtures.small_ceremony import SetClock


def test_a_file_is_known_by_its_path_in_the_bundle(tmp_path):
    folder = Folder(tmp_path)
    assert not folder.has("tbs/root-r1.tbs")
    digest = folder.write("tbs/root-r1.tbs", b"bytes")
    assert digest == hashlib.sha256(b"bytes").hexdigest()
    assert folder.has("tbs/root-r1.tbs")
    assert folder.read("tbs/root-r1.tbs") == b"bytes"
    folder.write("keys.json", b"[]")
    assert list(folder.names()) == ["keys.json", "tbs/root-r1.tbs"]
    folder.remove("keys.json")
    folder.remove("keys.json")
    assert list(folder.names()) == ["tbs/root-r1.tbs"]


def test_what_a_crash_left_beside_a_file_is_no_file_and_does_not_stand_in_the_way(tmp_path):
    folder = Folder(tmp_path)
    folder.write("keys.json", b"[]")
    left = folder.path(".keys.json.partial")
    left.write_bytes(b"[{")
    assert list(folder.names()) == ["keys.json"]
    folder.write("keys.json", b"[1]")
    assert folder.read("keys.json") == b"[1]"
    assert not left.exists()


def test_a_secret_is_for_nobody_else_from_the_start(tmp_path):
    place(tmp_path / "share", b"words", mode=0o600)
    assert (tmp_path / "share").stat().st_mode & 0o777 == 0o600


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path):
    target = tmp_path / "evidence.json"
    place(target, b"old")
    child = os.fork()
    if child == 0:
        os._exit(_write_too_much(target))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert target.read_bytes() == b"old"
    place(target, b"new")
    assert target.read_bytes() == b"new"


def _write_too_much(target) -> int:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
    try:
        place(target, b"x" * 4096)
    except CaError as error:
        return 0 if error.rule_ids == ("CEREMONY-DISK",) and error.kind is Kind.UNAVAILABLE else 2
    return 1


def test_a_link_laid_in_the_way_is_not_followed(tmp_path):
    secret = tmp_path / "somebody-elses"
    secret.write_bytes(b"theirs")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/.keys.json.partial").symlink_to(secret)
    (tmp_path / "files/keys.json").symlink_to(secret)
    Folder(tmp_path).write("keys.json", b"[]")
    assert secret.read_bytes() == b"theirs"
    assert Folder(tmp_path).read("keys.json") == b"[]"


def test_a_folder_that_is_a_link_is_not_entered(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "root-r1.tbs").write_bytes(b"theirs")
    folder = Folder(tmp_path / "room")
    folder.write("keys.json", b"[]")
    folder.path("tbs").symlink_to(elsewhere)
    calls = (
        lambda: folder.read("tbs/root-r1.tbs"),
        lambda: folder.has("tbs/root-r1.tbs"),
        lambda: folder.write("tbs/root-r1.tbs", b"ours"),
        lambda: folder.remove("tbs/root-r1.tbs"),
        lambda: place_below(tmp_path / "room", "files/tbs/new", b"ours"),
    )
    for call in calls:
        assert rules(call) == ("CEREMONY-FILE-CHANGED",)
    assert {each.name: each.read_bytes() for each in elsewhere.iterdir()} == {"root-r1.tbs": b"theirs"}
    folder.files.rename(tmp_path / "files")
    folder.files.symlink_to(tmp_path / "files")
    assert rules(lambda: folder.read("keys.json")) == ("CEREMONY-FILE-CHANGED",)
    assert rules(lambda: Journal(folder.path("transcript.jsonl"), SetClock())) == ("CEREMONY-FILE-CHANGED",)
    assert not (tmp_path / "files/transcript.jsonl").exists()


@pytest.mark.parametrize("lay", ["link", "pipe", "folder", "large"])
def test_nothing_but_a_regular_file_of_a_bundles_size_is_read(tmp_path, lay):
    folder = Folder(tmp_path)
    folder.write("keys.json", b"[]")
    place = folder.path("pin")
    secret = tmp_path / "secret"
    secret.write_bytes(b"1234")
    match lay:
        case "link":
            place.symlink_to(secret)
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "large":
            with place.open("wb") as file:
                file.truncate(MAX_ARCHIVE_BYTES + 1)
    assert rules(lambda: folder.read("pin")) == ("CEREMONY-FILE-CHANGED",)
    if lay != "large":
        assert rules(lambda: folder.has("pin")) == ("CEREMONY-FILE-CHANGED",)
    if lay == "link":
        assert rules(lambda: append(place, b"more")) == ("CEREMONY-FILE-CHANGED",)
        assert secret.read_bytes() == b"1234"


@pytest.mark.parametrize("name", ["../host.toml", "tbs/../../host.toml", "/etc/passwd", "tbs//a", "a\0b", ""])
def test_a_path_that_leads_out_of_the_folder_is_none(tmp_path, name):
    folder = Folder(tmp_path / "room")
    folder.write("keys.json", b"[]")
    for call in (folder.read, folder.has, folder.remove, lambda each: folder.write(each, b"")):
        assert rules(lambda call=call: call(name)) == ("CEREMONY-FILE-UNKNOWN",)
    assert [each.name for each in tmp_path.iterdir()] == ["room"]


def test_more_than_a_bundle_holds_is_not_even_listed(tmp_path):
    folder = Folder(tmp_path)
    folder.write("a/b/c/d/e/f/keys.json", b"[]")
    assert list(folder.names()) == ["a/b/c/d/e/f/keys.json"]
    folder.path("a/b/c/d/e/f/g/h").mkdir(parents=True)
    assert rules(lambda: list(folder.names())) == ("CEREMONY-FILE-UNKNOWN",)
    many = Folder(tmp_path / "many")
    many.write("keys.json", b"[]")
    for number in range(MAX_FILES):
        many.path(str(number)).touch()
    assert rules(lambda: list(many.names())) == ("CEREMONY-FILE-UNKNOWN",)


def test_what_is_made_here_is_for_nobody_else_to_look_into(tmp_path):
    folder = Folder(tmp_path / "above/room")
    folder.write("tbs/root-r1.tbs", b"bytes")
    for each in (folder.root.parent, folder.root, folder.files, folder.path("tbs")):
        assert each.stat().st_mode & 0o777 == 0o700
    append(folder.root / "recording.log", b"one\n")
    append(folder.root / "recording.log", b"two\n")
    assert (folder.root / "recording.log").read_bytes() == b"one\ntwo\n"
    assert (folder.root / "recording.log").stat().st_mode & 0o777 == 0o600


def rules(call) -> tuple[str, ...]:
    with pytest.raises(CaError) as caught:
        call()
    return caught.value.rule_ids


def test_reading_is_bounded_and_what_is_not_there_is_said(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "large", 10) == b"x" * 11
    with pytest.raises(CaError) as refused:
        read_file(tmp_path / "none", 10)
    assert refused.value.kind is Kind.NOT_FOUND
