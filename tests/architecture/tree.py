"""The tree as data: which files there are, what they parse to, which texts they hold."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ca_server", "ceremony", "ocsp_responder")
DOCUMENTS = ("README.md", "ops/docs/**/*.md", ".github/*.md", "ceremony/*.md", "policies/*.md")


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """What git knows or would take; a build folder or an environment is no part of the tree."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in sorted(set(listing.split("\0"))) if name)
    return tuple(path for path in paths if path.is_file())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def product_files() -> Iterator[Path]:
    """Every Python file that ships."""
    yield from (path for path in python_files() if name_of(path).split("/")[0] in PACKAGES)


def python_files() -> Iterator[Path]:
    yield from (path for path in tracked_files() if path.suffix == ".py")


def documents() -> Iterator[Path]:
    tracked = set(tracked_files())
    for pattern in DOCUMENTS:
        yield from sorted(tracked & set(ROOT.glob(pattern)))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@functools.cache
def strings_in(path: Path) -> frozenset[str]:
    """Every string constant of a Python file, docstrings left out."""
    module = parsed(path)
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, nodes) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return frozenset(
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    )


def imports_of(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in the file the import stands."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def inline_code(document: Path) -> Iterator[str]:
    """Every `span` and every line of a fenced block, backslash continuations joined."""
    fenced = ""
    for line in document.read_text().splitlines():
        if line.lstrip().startswith("```"):
            fenced = "" if fenced else line.strip()
        elif fenced:
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)
