"""A tar archive with exactly one spelling: the same files always give the same bytes, and no others do.

Any `tar` reads it. The reader here believes nothing but names, sizes and contents, packs what it found
again and refuses every difference, so that nothing can hide in a header, a padding or behind the end.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping

from ca_server.core.errors import CaError, Kind, refuse

MAX_ARCHIVE_BYTES = 32 * 1024 * 1024
MAX_FILES = 4096

_BLOCK = 512
_NAME = re.compile(rb"[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*")
_SIZE = re.compile(rb"[0-7]{11}\x00")


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files (POSIX.1-1988 ustar): sorted, owned by nobody, dated 1970, read-only."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o444
            archive.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """The files of an archive that `pack` made.

    Raises:
        CaError: malformed, `BUNDLE-SIZE` or `BUNDLE-ARCHIVE`.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise refuse(Kind.MALFORMED, "BUNDLE-SIZE", f"the bundle is over {MAX_ARCHIVE_BYTES} bytes")
    files: dict[str, bytes] = {}
    position = 0
    while data[position : position + 1] not in {b"", b"\x00"} and len(files) < MAX_FILES:
        header = data[position : position + _BLOCK]
        name, size = header[:100].rstrip(b"\x00"), header[124:136]
        if not _NAME.fullmatch(name) or not _SIZE.fullmatch(size):
            raise _not_ours()
        start = position + _BLOCK
        length = int(size[:11], 8)
        files[name.decode("ascii")] = data[start : start + length]
        position = start + -(-length // _BLOCK) * _BLOCK
    if pack(files) != data:
        raise _not_ours()
    return files


def _not_ours() -> CaError:
    return refuse(Kind.MALFORMED, "BUNDLE-ARCHIVE", "the bundle is not a tar archive as a ceremony writes it")
