"""What one attempt to validate saw: kept with the attempt, so that anybody can judge it later."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 4096
MAX_TEXT = 300
MAX_LIST = 8


def printable(text: str | bytes, limit: int = 100) -> str:
    """Other people's text as it may be shown: ASCII without control characters, and short."""
    if isinstance(text, bytes):
        text = text[: limit + 1].decode("latin-1")
    shown = "".join(each if " " <= each <= "~" else "?" for each in text[:limit])
    return shown + "..." if len(text) > limit else shown


class Evidence:
    """Collects notes while an attempt runs; every note is a flat object with a `step`."""

    def __init__(self) -> None:
        self._notes: list[dict[str, Any]] = []

    def note(self, step: str, **members: str | int | list[str] | None) -> None:
        """Add what was asked of whom and what came back; long values are cut."""
        kept = {name: _cut(value) for name, value in members.items() if value is not None}
        self._notes.append({"step": step, **kept})

    def as_data(self) -> dict[str, Any]:
        """Plain data of at most `MAX_BYTES` as JSON; what is left out is counted."""
        notes = list(self._notes)
        while len(_json(_data(notes, len(self._notes)))) > MAX_BYTES:
            # The first notes say what was asked and the last what was decided.
            del notes[len(notes) // 2]
        return _data(notes, len(self._notes))


def _data(notes: list[dict[str, Any]], count: int) -> dict[str, Any]:
    left_out = count - len(notes)
    return {"notes": notes, "left_out": left_out} if left_out else {"notes": notes}


def _cut(value: str | int | list[str]) -> str | int | list[str]:
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return printable(value, MAX_TEXT)
    cut = [printable(each) for each in value[:MAX_LIST]]
    return [*cut, f"and {len(value) - MAX_LIST} more"] if len(value) > MAX_LIST else cut


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
