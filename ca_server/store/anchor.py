"""The newest tree head, kept where neither the database nor its backups are.

A database that is restored, or that lost its newest rows, is behind its anchor; that is how it is noticed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ca_server.core.audit.merkle import HASH_SIZE
from ca_server.core.errors import CaError, Kind, refuse

MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Anchored:
    """A head as an anchor keeps it."""

    origin: str
    size: int
    root: bytes


class Anchor(Protocol):
    """A place for one head; never backed up or restored together with the database."""

    def read(self) -> Anchored | None:
        """The head, or None where none was ever put.

        Raises:
            CaError: unavailable, AUDIT-ANCHOR; the anchor cannot be read.
        """

    def swap(self, expected: Anchored | None, new: Anchored) -> bool:
        """Put `new` where `expected` is, durably; False where something else is there.

        Putting what is there already succeeds, so that a crash in the middle can be repeated.

        Raises:
            CaError: unavailable, AUDIT-ANCHOR; the anchor cannot be read or written.
        """


class FileAnchor:
    """An anchor in a JSON file with `origin`, `size` and `root` (hex), on another volume at best."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Anchored | None:
        """The head in the file, or None where there is no file."""
        with _typed_errors(self._path):
            return self._read()

    def swap(self, expected: Anchored | None, new: Anchored) -> bool:
        """Replace the file, if it holds what is expected."""
        with _typed_errors(self._path), self._locked():
            present = self._read()
            if present == new:
                return True
            if present != expected:
                return False
            self._write(new)
            return True

    def _read(self) -> Anchored | None:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        return _parse(data)

    def _write(self, new: Anchored) -> None:
        text = json.dumps({"origin": new.origin, "root": new.root.hex(), "size": new.size}) + "\n"
        temporary = self._path.with_name(self._path.name + ".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_name(self._path.name + ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _typed_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unusable(f"the anchor {path} cannot be used: {error.strerror}") from error


def _parse(data: bytes) -> Anchored:
    try:
        value = json.loads(data[:MAX_BYTES])
        anchored = Anchored(value["origin"], value["size"], bytes.fromhex(value["root"]))
        is_sound = (
            value.keys() == {"origin", "root", "size"}
            and isinstance(anchored.origin, str)
            and type(anchored.size) is int
            and anchored.size >= 0
            and len(anchored.root) == HASH_SIZE
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unusable("the anchor is not the JSON that it should be") from error
    if not is_sound:
        raise _unusable("the anchor does not hold an origin, a root and a size, and nothing else")
    return anchored


def _unusable(detail: str) -> CaError:
    return refuse(Kind.UNAVAILABLE, "AUDIT-ANCHOR", detail)
