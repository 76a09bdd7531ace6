"""The ceremony's folder: what is in it is all that a ceremony remembers, so that it survives its process.

`files/` becomes the bundle as it stands. A file is on the disk before a line of the transcript names it.
No link is followed below the folder, and nothing but a regular file is read: whoever lays a link there
while nobody looks must not have another file carried out of the room, or written over.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ca_server.core.archive import MAX_ARCHIVE_BYTES, MAX_FILES
from ca_server.core.bundle import CLOSING, KEYS, MANIFEST
from ca_server.core.ceremony.transcript import parse_transcript, whole_lines
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.state import digests, unfinished

FILES = "files"
TRANSCRIPT = "transcript.jsonl"

# What every bundle has, and no line of the transcript names.
_UNNAMED = frozenset({"allowed-signers", TRANSCRIPT, CLOSING, KEYS, MANIFEST, "recording.txt"})
_STATEMENT = re.compile(r"gates/[^/]*\.txt(?:\.sig)?")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PARTIAL = re.compile(r"\..*\.partial")
_MAX_DEPTH = 8
# What the system says where a link, or something else that is no folder, is in the way.
_NOT_FOLLOWED = frozenset({errno.ELOOP, errno.ENOTDIR})


class Folder:
    """Files by their path in the bundle."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / FILES

    @property
    def bundle(self) -> Path:
        """Where the bundle will stand."""
        return self.root / "bundle.tar"

    def path(self, name: str) -> Path:
        """Where a file of the bundle lies."""
        return self.files / name

    def write(self, name: str, data: bytes) -> str:
        """Put a file in its place, whole or not at all; its hex SHA-256.

        Raises:
            CaError: unavailable, the disk does not take it; conflict, `CEREMONY-FILE-CHANGED`, there is a
                link on the way.
        """
        place_below(self.root, f"{FILES}/{name}", data)
        return hashlib.sha256(data).hexdigest()

    def remove(self, name: str) -> None:
        """Take a file away, if it is there, before it is made anew."""
        *folders, last = _parts(f"{FILES}/{name}")
        with suppress(FileNotFoundError), _refusing(name), _opened(self.root, folders) as folder:
            os.unlink(last, dir_fd=folder)
            os.fsync(folder)

    def has(self, name: str) -> bool:
        """True where there is such a file.

        Raises:
            CaError: conflict, `CEREMONY-FILE-CHANGED`, something else lies there.
        """
        *folders, last = _parts(f"{FILES}/{name}")
        with suppress(FileNotFoundError), _refusing(name), _opened(self.root, folders) as folder:
            if not stat.S_ISREG(os.stat(last, dir_fd=folder, follow_symlinks=False).st_mode):
                raise _no_file(name)
            return True
        return False

    def read(self, name: str) -> bytes:
        """The bytes of a file, as many as a bundle may have at most.

        Raises:
            CaError: not_found, there is none that can be read; conflict, `CEREMONY-FILE-CHANGED`, it is a
                link, no regular file, or larger than a bundle.
        """
        data = read_below(self.root, f"{FILES}/{name}", MAX_ARCHIVE_BYTES)
        if len(data) > MAX_ARCHIVE_BYTES:
            raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", f"{name} is larger than a bundle may be")
        return data

    def names(self) -> Iterator[str]:
        """The path of everything that lies in `files/` but is no folder, sorted, be it a file or not.

        Raises:
            CaError: conflict, `CEREMONY-FILE-UNKNOWN`, there is more than a bundle may have.
        """
        with _refusing(FILES), _opened(self.root, [FILES]) as folder:
            found = sorted(_below(folder))
        if len(found) > MAX_FILES:
            raise unknown_file(found[0], f"one of {len(found)} files, and a bundle has {MAX_FILES} at most")
        yield from found

    def everything(self) -> dict[str, bytes]:
        """What the bundle will hold: the files that the transcript names, and those that every bundle has.

        What an unfinished step of a ceremony that was ended left behind is not in it, and no statement that
        somebody was only about to sign. Nothing else may lie here.

        Raises:
            CaError: conflict, `CEREMONY-FILE-UNKNOWN` or `CEREMONY-FILE-CHANGED`.
        """
        lines = parse_transcript(whole_lines(self.read(TRANSCRIPT)))
        named, there = digests(lines), list(self.names())
        for name in there:
            known = name in named or name in _UNNAMED or _STATEMENT.fullmatch(name)
            if not known and not unfinished(lines):
                raise unknown_file(name, "nothing that this ceremony made or was given")
        found = {name: self.read(name) for name in there if name in named or name in _UNNAMED}
        for name, digest in named.items():
            if name not in found or hashlib.sha256(found[name]).hexdigest() != digest:
                detail = f"{_spelt(name)} was changed since it was written"
                raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", detail)
        return found


def place(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file beside its place, then rename it there; nobody ever sees half of it.

    Raises:
        CaError: unavailable, the disk does not take it; the place is as it was.
    """
    place_below(path.parent, path.name, data, mode)


def place_below(root: Path, name: str, data: bytes, mode: int = 0o644) -> None:
    """The same, for a file somewhere below `root`: folders on the way are made, and links not followed.

    Raises:
        CaError: unavailable, the disk does not take it; conflict, `CEREMONY-FILE-CHANGED`, there is a link on
            the way.
    """
    *folders, last = _parts(name)
    partial = f".{last}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with _writing(name):
        make_folder(root)
        with _opened(root, folders, make=True) as folder:
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            with os.fdopen(os.open(partial, flags, mode, dir_fd=folder), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(partial, last, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file that only its owner may read; it is made where there is none.

    Raises:
        CaError: unavailable, the disk does not take it; conflict, `CEREMONY-FILE-CHANGED`, a link is there.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with _writing(path.name), os.fdopen(open_below(path.parent, path.name, flags), "ab") as file:
        file.write(data)


def open_below(root: Path, name: str, flags: int) -> int:
    """A descriptor of a regular file below `root`, which must be there; no link on the way is followed.

    Raises:
        OSError: it cannot be opened.
        CaError: conflict, `CEREMONY-FILE-CHANGED`, a link or something else is there.
    """
    *folders, last = _parts(name)
    with _refusing(name), _opened(root, folders, make=bool(flags & os.O_CREAT)) as folder:
        return _regular(folder, last, flags)


def read_below(root: Path, name: str, limit: int) -> bytes:
    """At most one byte more than `limit` of a regular file below `root`; no link on the way is followed.

    Raises:
        CaError: not_found, it cannot be read; conflict, `CEREMONY-FILE-CHANGED`, something else is there.
    """
    try:
        with os.fdopen(open_below(root, name, os.O_RDONLY), "rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {root / name}: {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for nobody else to look into."""
    for each in reversed((folder, *folder.parents)):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """At most one byte more than `limit`, so that the reader of the content refuses what is larger.

    For files that people name, who may name a link.

    Raises:
        CaError: not_found, it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error


def unknown_file(name: str, what: str) -> CaError:
    """The refusal of something that lies in the folder and has no business there."""
    return refuse(Kind.CONFLICT, "CEREMONY-FILE-UNKNOWN", f"{_spelt(name)} is {what}; take it away")


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if len(parts) > _MAX_DEPTH or not all(parts) or {".", ".."} & set(parts) or "\0" in name:
        raise refuse(Kind.CONFLICT, "CEREMONY-FILE-UNKNOWN", f"{_spelt(name)} is no place in this folder")
    return parts


@contextmanager
def _opened(root: Path, folders: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """A folder below `root`, entered one by one, so that no link on the way is followed."""
    descriptor = os.open(root, _DIRECTORY)
    try:
        for name in folders:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=descriptor)
                    os.fsync(descriptor)
            below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _regular(folder: int, name: str, flags: int) -> int:
    """Opened without waiting, as a pipe that nobody writes to would have us wait for ever."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_file(name)
    return descriptor


def _below(folder: int, above: str = "", depth: int = 1) -> Iterator[str]:
    """Every path below an open folder but those of folders, and of what a crash left half written."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{above}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                if not _PARTIAL.fullmatch(entry.name):
                    yield name
                continue
            if depth == _MAX_DEPTH:
                raise unknown_file(name, "a folder too deep for a bundle")
            below = os.open(entry.name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                yield from _below(below, f"{name}/", depth + 1)
            finally:
                os.close(below)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Say of a link that was not followed that it is one; any other error is the caller's."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_FOLLOWED:
            raise _no_file(name) from error
        raise


@contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        with _refusing(name):
            yield
    except OSError as error:
        detail = f"{Path(name).name} cannot be written: {error.strerror}"
        raise refuse(Kind.UNAVAILABLE, "CEREMONY-DISK", detail) from error


def _no_file(name: str) -> CaError:
    detail = f"where {_spelt(name)} should be there is a link, or no regular file; it is not followed"
    return refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", detail)


def _spelt(name: str) -> str:
    """A name that somebody else chose, fit for a line of the transcript."""
    return name if name.isascii() and name.isprintable() else ascii(name)
