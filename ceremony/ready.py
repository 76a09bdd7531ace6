"""The ready scripts, one a kind, and what a site fills in without an editor."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.errors import CaError, Kind
from ceremony.folder import read_file
from ceremony.script import parse_script

_PUBLIC_URL = re.compile(r'^public_url = ".*"$', re.MULTILINE)
_FIRST_TABLE = re.compile(r"^\[", re.MULTILINE)


def kinds() -> tuple[str, ...]:
    """The names of the ready scripts."""
    return tuple(
        sorted(each.name.removesuffix(".toml") for each in (files("ceremony") / "scripts").iterdir())
    )


def ready_script(
    kind: str, *, public_url: str | None, roster: Path | None, inputs: Mapping[str, Path]
) -> str:
    """The ready script of a kind, with its URL, roster and inputs filled in where they are given.

    Raises:
        CaError: not_found, there is no such kind or file; malformed, a value is not one that a script takes.
    """
    if kind not in kinds():
        raise CaError(Kind.NOT_FOUND, f"there is no ready script '{kind}'; there are {', '.join(kinds())}")
    text = (files("ceremony") / "scripts" / f"{kind}.toml").read_text()
    if public_url is not None:
        line = f"public_url = {json.dumps(public_url)}"
        text = _PUBLIC_URL.sub(lambda _: line, text, count=1)
    if roster is not None:
        pin = f'[roster]\nsha256 = "{_sha256(roster)}"\n\n'
        text = _FIRST_TABLE.sub(lambda found: pin + found[0], text, count=1)
    for name, path in inputs.items():
        line = f'name = "{name}"\n'
        if line not in text:
            raise CaError(Kind.NOT_FOUND, f"the script of a {kind} has no input '{name}'")
        text = text.replace(line, f'{line}sha256 = "{_sha256(path)}"\n', 1)
    parse_script(text.encode())
    return text


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_file(path, MAX_ARCHIVE_BYTES)).hexdigest()
