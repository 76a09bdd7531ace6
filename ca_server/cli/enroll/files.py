"""Files that are whole or not there, and the order in which a disk learns of them."""

from __future__ import annotations

import os
from pathlib import Path

from ca_server.core.errors import CaError, Kind

MAX_BYTES = 256 * 1024

PUBLIC, PRIVATE = 0o644, 0o600


def read_capped(path: Path) -> bytes:
    """The content of a file that nobody's mistake has made huge.

    Raises:
        CaError: malformed, it is too long.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise CaError(Kind.MALFORMED, f"{path} has over {MAX_BYTES} bytes")
    return data


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet, durable and with its permissions from the first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, data: bytes, mode: int) -> None:
    """Put a file in the place of another: whoever opens it finds the old content or the new one."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    write_new(aside, data, mode)
    aside.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Have the disk keep which names stand in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
