"""JSON as RFC 8259 and nothing more: no member twice, no NaN, no endless depth, no half a character (R31)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 8


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; bytes are UTF-8.

    Raises:
        ValueError: the text is not such JSON.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if "\\u" in text:
        # Half a surrogate pair is a character that nothing can store or send; encoding finds it.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _depth(value: Any) -> int:
    """How many arrays and objects lie within each other, counted without recursion."""
    depth, layer = 0, [value]
    while layer:
        containers = [each for each in layer if isinstance(each, dict | list)]
        layer = [
            child for each in containers for child in (each.values() if isinstance(each, dict) else each)
        ]
        depth += bool(containers)
    return depth
