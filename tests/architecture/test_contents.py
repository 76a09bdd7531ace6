"""What may never stand in the tree, and what its folders may never be called."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.architecture.tree import ROOT, name_of, product_files, python_files, tracked_files

TOP_LEVEL = {"ca_server", "ceremony", "ocsp_responder", "policies", "tests", "ops", ".github", ".ci"}
TOP_FILES = {"README.md", "LICENSE", "pyproject.toml", ".gitignore"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
# Written with character classes so that this file does not hold what it forbids.
FORBIDDEN = {
    "a package index": r"index[-]url|/simpl[e]/|files[.]pythonhosted|\"resolve[d]\": *\"http",
    "a path of somebody's machine": r"(?<![\w.])/(wor[k]|hom[e]/\w+)/[\w.]|/roo[t]/\.\w",
    "unfinished work": r"\b(TO[D]O|FIX[M]E|XX[X])\b",
    "a toothless test": r"\bassert Tru[e]\b|pytest[.]mark[.](ski[p]|xfai[l])\b",
}
PRIVATE_KEY = re.compile(r"-----BEGIN (EC |RSA |ENCRYPTED |OPENSSH )?PRIVATE[ ]KEY-----")
EXECUTABLES = (
    "ops/quickstart",
    "ops/test",
    "ops/check",
    "ops/bootstrap",
    ".ci/run",
    "ops/requirements/update",
)


def texts():
    for path in tracked_files():
        try:
            yield path, path.read_text()
        except UnicodeDecodeError:
            continue


def test_the_top_level_is_the_fixed_list():
    names = {name_of(path).split("/")[0] for path in tracked_files()}
    assert names - TOP_LEVEL - TOP_FILES == set()


def test_no_room_has_a_vague_name():
    rooms = {part.removesuffix(".py") for path in python_files() for part in name_of(path).split("/")}
    assert rooms & VAGUE == set()


def test_no_class_is_a_manager_handler_helper_or_util():
    pattern = re.compile(r"^class \w*(Manager|Handler|Helper|Util)s?\b", re.MULTILINE)
    guilty = [name_of(path) for path in product_files() if pattern.search(path.read_text())]
    assert guilty == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_tree_names_no(what):
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{name_of(path)}:{number} {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_no_private_key_outside_the_vectors():
    found = [name_of(path) for path, text in texts() if PRIVATE_KEY.search(text)]
    assert [name for name in found if not name.startswith("tests/vectors/")] == []


def test_no_file_of_a_resolver_is_kept():
    assert not any(path.name == "uv.lock" for path in tracked_files())


@pytest.mark.parametrize("name", EXECUTABLES)
def test_a_script_can_run_and_stops_at_the_first_failure(name):
    path = ROOT / name
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)
