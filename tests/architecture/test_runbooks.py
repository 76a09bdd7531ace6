"""The books of ceremonies say what the ready scripts do: roles, inputs, gates, outputs, on both sides."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.architecture.tree import ROOT

BOOKS = ROOT / "ops/docs/runbooks/ceremonies"
SCRIPTS = {path.stem: path for path in sorted((ROOT / "ceremony/scripts").glob("*.toml"))}
SKELETON = [
    "When",
    "Who",
    "Bring",
    "Before",
    "On the day",
    "What comes out",
    "If it stops",
    "Afterwards",
]
GUIDES = {"README", "air-gap", "officers-keys", "shares-and-safes"}
FAILURE_CLASSES = ["F0", "F1", "F2", "F3"]

each_kind = pytest.mark.parametrize("kind", SCRIPTS)


def script(kind: str) -> dict:
    return tomllib.loads(SCRIPTS[kind].read_text())


def page(kind: str) -> str:
    return (BOOKS / f"{kind}.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of a section's table, its head left out."""
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    [body] = [each for each in section if each.startswith(heading + "\n")]
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_kind_has_a_page_and_every_page_a_kind():
    assert {path.stem for path in BOOKS.glob("*.md")} == SCRIPTS.keys() | GUIDES
    index = (BOOKS / "README.md").read_text()
    assert [name for name in SCRIPTS if f"({name}.md)" not in index] == []


@each_kind
def test_a_page_has_the_skeleton_of_all(kind):
    assert page(kind).startswith(f"# {kind}: ")
    assert re.findall(r"^## (.+)$", page(kind), re.MULTILINE) == SKELETON
    assert [cells[0].split()[0] for cells in rows(page(kind), "If it stops")] == FAILURE_CLASSES


@each_kind
def test_a_page_names_the_roles_and_quorums_of_its_script(kind):
    expected = [
        [role, str(each.get("quorum", 1)), f"`{each['group']}`"]
        for role, each in script(kind)["roles"].items()
    ]
    assert rows(page(kind), "Who") == expected


@each_kind
def test_a_page_names_the_gates_of_its_script_and_who_signs(kind):
    described = {
        step: (gate, signers.split(", "))
        for gate, steps, signers, _ in rows(page(kind), "On the day")
        for step in re.findall(r"`([^`]+)`", steps)
    }
    gates = [step for step in script(kind)["steps"] if "sign_by" in step]
    assert described == {step["id"]: (step["do"].split(".")[-1], step["sign_by"]) for step in gates}


@each_kind
def test_a_page_names_inputs_and_outputs_of_its_script(kind):
    text = page(kind)
    assert [each["name"] for each in script(kind).get("inputs", []) if f"`{each['name']}`" not in text] == []
    assert [each["path"] for each in script(kind).get("outputs", []) if f"`{each['path']}`" not in text] == []


@each_kind
def test_a_page_asks_for_its_own_script_with_all_inputs(kind):
    lines = re.findall(rf"^sealkeeper ceremony script {kind}\b(.*)$", page(kind), re.MULTILINE)
    given = re.findall(r"--input ([a-z0-9-]+)=", lines[-1])
    assert given == [each["name"] for each in script(kind).get("inputs", [])]
    assert all(("--public-url" in line) == ("publication" in script(kind)) for line in lines)


def test_the_check_reads_tables():
    text = "# x\n\n## Who\n\n| role | persons |\n|---|---|\n| a | 1 |\n\n## When\n"
    assert rows(text, "Who") == [["a", "1"]]
