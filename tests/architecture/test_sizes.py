"""Ugliness lives in the tail: the longest file, the longest function, the widest signature."""

from __future__ import annotations

import ast
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import ROOT, name_of, parsed, product_files, python_files

MEDIAN_LINES, P95_LINES, MAX_LINES, MAX_TEST_LINES = 120, 350, 500, 700
MAX_FUNCTION_LINES, MAX_PARAMETERS = 70, 6
# An auditor carries one file to another machine and reads it from top to bottom, so it is not split.
ONE_FILE, MAX_ONE_FILE_LINES = "ops/auditor/verify_ceremony.py", 1600
REASONED_EXCEPTION = "# noqa: PLR0913 - "

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in product_files():
        # A migration is a dated list of tables, never read from top to bottom again.
        if name_of(path).startswith("ca_server/store/migrations/versions/"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, type_of_function):
                yield path, node


def test_files_stay_short():
    sizes = sorted(size for path in product_files() if (size := lines_of(path)) > 0)
    p95 = sizes[math.ceil(0.95 * len(sizes)) - 1]
    assert statistics.median(sizes) <= MEDIAN_LINES
    assert p95 <= P95_LINES


def test_no_file_is_long():
    limits = dict.fromkeys(product_files(), MAX_LINES)
    limits |= {path: MAX_TEST_LINES for path in python_files() if path not in limits}
    limits[ROOT / ONE_FILE] = MAX_ONE_FILE_LINES
    too_long = [
        f"{name_of(path)}: {lines_of(path)}" for path, limit in limits.items() if lines_of(path) > limit
    ]
    assert too_long == []


def test_no_function_is_long():
    too_long = [
        f"{name_of(path)}:{node.lineno} {node.name}: {length} lines"
        for path, node in functions()
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert too_long == []


def test_no_signature_is_wide():
    too_wide = []
    for path, node in functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(argument.arg not in {"self", "cls"} for argument in arguments)
        definition = path.read_text().splitlines()[node.lineno - 1]
        if count > MAX_PARAMETERS and REASONED_EXCEPTION not in definition:
            too_wide.append(f"{name_of(path)}:{node.lineno} {node.name}: {count} parameters")
    assert too_wide == []
