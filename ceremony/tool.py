"""What program this is: its version and one digest over its files, which two people can compare."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from ca_server import __version__

_PARTS = ("ceremony", "ca_server.core", "ca_server.hsm")


@cache
def tool_sha256() -> str:
    """SHA-256 over `HEX  PATH` lines, sorted by path, of every Python and TOML file that a ceremony runs."""
    lines = []
    for part in _PARTS:
        root = Path(str(files(part)))
        for path in root.rglob("*"):
            if path.suffix in {".py", ".toml"}:
                name = f"{part.replace('.', '/')}/{path.relative_to(root).as_posix()}"
                lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    return hashlib.sha256("".join(sorted(lines, key=lambda line: line[66:])).encode()).hexdigest()


def tool_version() -> str:
    """The version of this wheel."""
    return __version__
