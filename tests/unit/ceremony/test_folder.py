"""The folder of a ceremony: a file is in its place whole or not at all."""

from __future__ import annotations

import hashlib
import os
import resource
import signal

import pytest

from ca_server.core.errors import CaError, Kind
from ceremony.folder import Folder, place, read_file


def test_a_file_is_known_by_its_path_in_the_bundle(tmp_path):
    folder = Folder(tmp_path)
    assert not folder.has("tbs/root-r1.tbs")
    digest = folder.write("tbs/root-r1.tbs", b"bytes")
    assert digest == hashlib.sha256(b"bytes").hexdigest()
    assert folder.has("tbs/root-r1.tbs")
    assert folder.read("tbs/root-r1.tbs") == b"bytes"
    folder.write("keys.json", b"[]")
    assert list(folder.names()) == ["keys.json", "tbs/root-r1.tbs"]
    assert folder.everything() == {"keys.json": b"[]", "tbs/root-r1.tbs": b"bytes"}
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


def test_reading_is_bounded_and_what_is_not_there_is_said(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "large", 10) == b"x" * 11
    with pytest.raises(CaError) as refused:
        read_file(tmp_path / "none", 10)
    assert refused.value.kind is Kind.NOT_FOUND
