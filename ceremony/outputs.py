"""What leaves the room: the bundle and the server's key, complete or not at all, never over another file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ca_server.core.errors import CaError, Kind, Violation
from ceremony.host import Host


def check_outputs(host: Host) -> None:
    """Pass a host whose folders are there and whose outputs are not.

    Raises:
        CaError: conflict, `CEREMONY-OUTPUT-FOLDER` or `CEREMONY-OUTPUT-EXISTS` for each.
    """
    violations = tuple(_obstacles(host))
    if violations:
        raise CaError(Kind.CONFLICT, "the outputs have no place", violations=violations)


def release(host: Host, api_server_key: bytes, bundle: bytes) -> None:
    """Write both outputs beside their places, then rename both; the bundle last, as it means success.

    Raises:
        CaError: conflict, something stands in the place of an output; unavailable, it cannot be written.
    """
    check_outputs(host)
    outputs = ((host.api_server_key, api_server_key, 0o600), (host.bundle, bundle, 0o444))
    standing: list[Path] = []
    try:
        for path, data, mode in outputs:
            standing.append(_write_partial(path, data, mode))
        for index, (path, _, _) in enumerate(outputs):
            standing[index] = standing[index].rename(path)
            _sync_folder(path.parent)
    except OSError as error:
        for path in standing:
            path.unlink()
        raise CaError(Kind.UNAVAILABLE, f"an output cannot be written: {error}") from error


def _obstacles(host: Host) -> Iterator[Violation]:
    for path in (host.bundle, host.api_server_key):
        if not path.parent.is_dir():
            yield Violation("CEREMONY-OUTPUT-FOLDER", f"the folder {path.parent} is not there")
        for each in (path, _partial(path)):
            if os.path.lexists(each):
                detail = f"{each} is there already; a ceremony writes over nothing, so move it away"
                yield Violation("CEREMONY-OUTPUT-EXISTS", detail)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _write_partial(path: Path, data: bytes, mode: int) -> Path:
    partial = _partial(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(partial, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink()
        raise
    return partial


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
