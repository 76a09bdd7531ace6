"""The TLS context follows its files, and outlives files that do not fit each other."""

from __future__ import annotations

import pytest

from ca_server.tls import TLSContext, TLSFiles
from tests.fixtures.https import self_signed


@pytest.fixture
def files(tmp_path):
    return TLSFiles(*self_signed(tmp_path))


@pytest.fixture
def other(tmp_path):
    """Another certificate and its key."""
    folder = tmp_path / "other"
    folder.mkdir()
    return self_signed(folder)


def test_the_same_files_are_read_once_and_new_ones_are_taken(files, other):
    context = TLSContext(files)
    first = context.current()
    assert context.current() is first
    other[1].rename(files.key)
    other[0].rename(files.chain)
    assert context.current() is not first


def test_a_key_without_its_certificate_changes_nothing_and_is_told_once(files, other, logged):
    context = TLSContext(files)
    first = context.current()
    other[1].rename(files.key)
    assert [context.current() for _ in range(3)] == [first] * 3
    (told,) = logged()
    assert (told["event.action"], told["log.level"]) == ("tls.files_do_not_fit", "error")
    assert told["event.reason"]
    other[0].rename(files.chain)
    assert context.current() is not first


def test_a_file_that_is_gone_changes_nothing(files):
    context = TLSContext(files)
    first = context.current()
    files.key.unlink()
    assert context.current() is first


def test_files_that_never_fitted_are_an_error(files, other):
    other[1].replace(files.key)
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
        TLSContext(files).current()
