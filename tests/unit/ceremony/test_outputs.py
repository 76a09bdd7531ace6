"""What leaves the room is written whole, over nothing, and readable by those alone whom it concerns."""

from __future__ import annotations

import pytest

from ca_server.core.errors import CaError, Kind
from ceremony.host import parse_host
from ceremony.outputs import check_outputs, release


@pytest.fixture
def host(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "keys").mkdir()
    return parse_host(
        f"""
        format = "ceremony-host/v1"
        mode = "production"
        output_directory = "{tmp_path}/out"
        api_server_key = "{tmp_path}/keys/server.key"
        [tokens.root]
        module = "/usr/lib/vendor.so"
        label = "root"
        pin_prompt = true
        """.encode()
    )


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_both_outputs_are_written(host, tmp_path):
    release(host, b"key", b"bundle")
    assert files_in(tmp_path) == ["bundle.tar", "server.key"]
    assert host.bundle.read_bytes() == b"bundle"
    assert host.api_server_key.read_bytes() == b"key"
    assert host.api_server_key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["out/bundle.tar", "out/.bundle.tar.partial", "keys/server.key"])
def test_an_output_that_exists_is_left_as_it_is(host, tmp_path, name):
    (tmp_path / name).write_bytes(b"old")
    for call in (lambda: check_outputs(host), lambda: release(host, b"key", b"bundle")):
        with pytest.raises(CaError) as refused:
            call()
        assert refused.value.kind is Kind.CONFLICT
        assert refused.value.rule_ids == ("CEREMONY-OUTPUT-EXISTS",)
    assert (tmp_path / name).read_bytes() == b"old"
    assert files_in(tmp_path) == [name.rsplit("/", 1)[-1]]


def test_a_dangling_link_is_an_output_that_exists(host, tmp_path):
    host.bundle.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CaError) as refused:
        release(host, b"key", b"bundle")
    assert refused.value.rule_ids == ("CEREMONY-OUTPUT-EXISTS",)
    assert files_in(tmp_path) == []


def test_a_missing_folder_is_named(host, tmp_path):
    (tmp_path / "keys").rmdir()
    with pytest.raises(CaError) as refused:
        check_outputs(host)
    assert refused.value.rule_ids == ("CEREMONY-OUTPUT-FOLDER",)
    assert str(tmp_path / "keys") in refused.value.violations[0].detail


def test_nothing_half_made_stays_when_writing_fails(host, tmp_path):
    # The longest name that a file system takes: its partial file's name is longer, so the second write fails.
    long = host.model_copy(update={"api_server_key": tmp_path / "keys" / ("k" * 250)})
    with pytest.raises(CaError) as refused:
        release(long, b"key", b"bundle")
    assert refused.value.kind is Kind.UNAVAILABLE
    assert files_in(tmp_path) == []
