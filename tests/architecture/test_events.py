"""The catalogue of audit events: each kind is made somewhere, and documented with its data."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ca_server.core.audit.record import CATALOGUE
from tests.architecture.tree import ROOT, name_of, parsed, product_files, strings_in


def endings_in(path: Path) -> set[str]:
    """What f-strings such as f"{credential}.created" end in."""
    return {
        str(node.values[-1].value)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[-1], ast.Constant)
    }


def test_every_kind_is_made_somewhere():
    made = set()
    for path in product_files():
        if name_of(path) != "ca_server/core/audit/record.py":
            made |= strings_in(path) & CATALOGUE.keys()
            endings = {ending for ending in endings_in(path) if ending.startswith(".")}
            made |= {
                kind for kind in CATALOGUE if kind.startswith(("token", "grant")) and kind[5:] in endings
            }
    assert sorted(CATALOGUE.keys() - made) == []


def test_every_kind_is_documented_with_its_data():
    text = (ROOT / "ops/docs/events.md").read_text()
    rows = re.findall(r"^\| `([a-z.-]+)` \| [^|]+ \| ([^|]*) \|$", text, re.MULTILINE)
    documented = {kind: frozenset(re.findall(r"`([a-z0-9_]+)`", keys)) for kind, keys in rows}
    assert documented == CATALOGUE


def test_the_catalogue_is_in_order():
    assert list(CATALOGUE) == sorted(CATALOGUE)
