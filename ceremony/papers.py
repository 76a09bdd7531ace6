"""Papers: what people approve and no token signs. Each lies at `papers/NAME.txt` or `papers/NAME.json`."""

from __future__ import annotations

from ca_server.core.errors import Kind, refuse
from ceremony.folder import Folder

_FORMS = ("json", "txt")
_SHOWN = 8192


def paper_path(folder: Folder, name: str) -> str:
    """Where a paper lies in the folder and the bundle.

    Raises:
        CaError: not_found, `CEREMONY-REFERENCE`, no step has written it.
    """
    for form in _FORMS:
        if folder.has(f"papers/{name}.{form}"):
            return f"papers/{name}.{form}"
    raise refuse(Kind.NOT_FOUND, "CEREMONY-REFERENCE", f"no step has written the paper '{name}'")


def show_paper(data: bytes) -> str:
    """A paper as it is shown before it is approved; of a long one, its beginning."""
    text = data.decode("utf-8", "replace")
    rest = "" if len(text) <= _SHOWN else f"\n… and {len(text) - _SHOWN} more characters: read the file"
    return text[:_SHOWN] + rest
