"""The page that goes from claims to tests names tests that there are."""

from __future__ import annotations

import ast
import re

from tests.architecture.tree import ROOT, parsed

PAGE = ROOT / "ops/docs/assurance-ceremonies.md"
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_every_test_that_a_claim_rests_on_exists():
    named = NAMED.findall(PAGE.read_text())
    assert named
    lost = []
    for path, function in named:
        file = ROOT / "tests" / path
        functions = (
            {node.name for node in ast.walk(parsed(file)) if isinstance(node, ast.FunctionDef)}
            if file.exists()
            else set()
        )
        if function not in functions:
            lost.append(f"{path}::{function}")
    assert lost == []


def test_every_claim_rests_on_a_test():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    claims = [row for row in rows if not row.startswith("| claim |")]
    assert claims
    assert [row[:60] for row in claims if not NAMED.search(row)] == []
