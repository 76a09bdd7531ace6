"""One set of files, one archive: whatever differs from what we would write is refused."""

from __future__ import annotations

import io
import tarfile

import pytest

from ca_server.core.archive import MAX_ARCHIVE_BYTES, MAX_FILES, pack, unpack
from ca_server.core.errors import CaError, Kind

FILES = {"b/two.cer": b"2" * 700, "a.json": b"{}", "b/empty": b"", "exact": b"x" * 512}


def refused(data: bytes) -> tuple[str, ...]:
    with pytest.raises(CaError) as error:
        unpack(data)
    assert error.value.kind is Kind.MALFORMED
    return error.value.rule_ids


def archive_with(change=lambda member: None, *, name="a", mode=tarfile.USTAR_FORMAT) -> bytes:
    member = tarfile.TarInfo(name)
    member.mode = 0o444
    member.size = 1
    change(member)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=mode) as archive:
        archive.addfile(member, io.BytesIO(b"x"))
    return buffer.getvalue()


def reads_the_same(data: bytes) -> bool:
    try:
        return unpack(data) == FILES
    except CaError:
        return False


def test_files_come_back():
    assert unpack(pack(FILES)) == FILES
    assert pack(dict(reversed(FILES.items()))) == pack(FILES)
    assert unpack(archive_with()) == {"a": b"x"}


def test_any_tar_reads_it():
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as archive:
        assert archive.getnames() == sorted(FILES)
        assert all(member.isreg() and member.mtime == 0 and member.mode == 0o444 for member in archive)


def test_every_altered_byte_changes_the_files_or_is_refused():
    data = pack(FILES)
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 0x01
        assert not reads_the_same(bytes(altered)), position


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a", "a/../b", "a/", "A", ".hidden", "a//b", "a b", "\u00e4", "-a"]
)
def test_a_name_that_could_leave_its_folder_or_confuse_is_refused(name):
    assert refused(archive_with(name=name)) == ("BUNDLE-ARCHIVE",)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("mtime", 1),
        ("mode", 0o644),
        ("uid", 1),
        ("uname", "root"),
        ("type", tarfile.SYMTYPE),
        ("type", tarfile.LNKTYPE),
        ("type", tarfile.CHRTYPE),
        ("linkname", "x"),
    ],
)
def test_a_header_that_says_more_is_refused(attribute, value):
    assert refused(archive_with(lambda member: setattr(member, attribute, value))) == ("BUNDLE-ARCHIVE",)


def test_other_archives_are_refused():
    data = pack(FILES)
    for other in (
        b"",
        b"\x00" * 512,
        data[:-512],
        data + b"\x00" * 10240,
        data + b"more",
        data[:1000],
        pack({})[:-1],
        archive_with(name="a" * 101, mode=tarfile.GNU_FORMAT),
        pack({f"f{number}": b"" for number in range(MAX_FILES + 1)}),
    ):
        assert refused(other) == ("BUNDLE-ARCHIVE",)


def test_a_huge_size_field_is_refused_without_reading_on():
    data = bytearray(pack({"a": b"x"}))
    data[124:136] = b"77777777777\x00"
    assert refused(bytes(data)) == ("BUNDLE-ARCHIVE",)


def test_size_comes_first():
    assert refused(b"\x01" * (MAX_ARCHIVE_BYTES + 1)) == ("BUNDLE-SIZE",)
