"""Papers: what people approve and no token signs. Each lies at `papers/NAME.txt` or `papers/NAME.json`."""

from __future__ import annotations

import json

from ca_server.core.errors import Kind, refuse
from ca_server.core.strict_json import parse_json
from ceremony.display import printable
from ceremony.folder import Folder

_FORMS = ("json", "txt")
_SHOWN = 32_768


def paper_path(folder: Folder, name: str) -> str:
    """Where a paper lies in the folder and the bundle.

    Raises:
        CaError: not_found, `CEREMONY-REFERENCE`, no step has written it.
    """
    for form in _FORMS:
        if folder.has(f"papers/{name}.{form}"):
            return f"papers/{name}.{form}"
    raise refuse(Kind.NOT_FOUND, "CEREMONY-REFERENCE", f"no step has written the paper '{name}'")


def show_paper(path: str, data: bytes) -> str:
    """A paper as it is shown before it is approved, JSON a fact a line; of a long one, its beginning."""
    text = data.decode("utf-8", "replace")
    if path.endswith(".json"):
        # Nothing in a value of it can look like a line of its own.
        lines = json.dumps(parse_json(data), indent=2, ensure_ascii=False).split("\n")
        text = "\n".join(printable(line) for line in lines)
    rest = "" if len(text) <= _SHOWN else f"\n... and {len(text) - _SHOWN} more characters: read the file"
    return text[:_SHOWN] + rest
