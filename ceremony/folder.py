"""The ceremony's folder: what is in it is all that a ceremony remembers, so that it survives its process.

`files/` becomes the bundle as it stands. A file is on the disk before a line of the transcript names it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.errors import CaError, Kind, refuse

FILES = "files"
TRANSCRIPT = "transcript.jsonl"


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
            CaError: unavailable, the disk does not take it.
        """
        place(self.path(name), data)
        return hashlib.sha256(data).hexdigest()

    def remove(self, name: str) -> None:
        """Take a file away, if it is there, before it is made anew."""
        self.path(name).unlink(missing_ok=True)
        sync_folder(self.files)

    def has(self, name: str) -> bool:
        """True where there is such a file."""
        return self.path(name).is_file()

    def read(self, name: str) -> bytes:
        """The bytes of a file, as many as a bundle may have at most.

        Raises:
            CaError: not_found, there is none that can be read.
        """
        return read_file(self.path(name), MAX_ARCHIVE_BYTES)

    def names(self) -> Iterator[str]:
        """The path in the bundle of every file, sorted."""
        for path in sorted(self.files.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.files).as_posix()

    def everything(self) -> dict[str, bytes]:
        """What the bundle will hold."""
        return {name: self.read(name) for name in self.names()}


def place(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file beside its place, then rename it there; nobody ever sees half of it.

    Raises:
        CaError: unavailable, the disk does not take it; the place is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(partial, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise refuse(
            Kind.UNAVAILABLE, "CEREMONY-DISK", f"{path.name} cannot be written: {error.strerror}"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int) -> bytes:
    """At most one byte more than `limit`, so that the reader of the content refuses what is larger.

    Raises:
        CaError: not_found, it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
