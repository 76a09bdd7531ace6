"""What the documents name exists: paths, links, headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, documents, inline_code, name_of, tracked_files

# The first folder of a path that is meant to be in this tree.
ROOMS = "ca_server|ceremony|ocsp_responder|policies|tests|ops|\\.github|\\.ci"
PATH = re.compile(rf"(?<![\w./-])((?:{ROOMS})/[\w./*-]*[\w*/])")
LINK = re.compile(r"\]\(([^)\s]+)\)|src(?:set)?=\"([^\"]+)\"")
RULE = re.compile(r"(?<![\w-])([A-Z][A-Z0-9]+(?:-[A-Z0-9]+)+)(?![\w…*-])")
MINIMUM_RECORDS = 10


def anchors_of(document: Path) -> set[str]:
    """GitHub's anchors of a document's headings."""
    headings = re.findall(r"^#+ +(.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", list(documents()), ids=name_of)
def test_every_path_that_is_named_exists(document):
    tracked = {name_of(path) for path in tracked_files()}
    folders = {parent for name in tracked for parent in map(str, Path(name).parents)}
    lost = [
        path
        for code in inline_code(document)
        for path in PATH.findall(code)
        if path.rstrip("/") not in tracked | folders and not any(ROOT.glob(path))
    ]
    assert lost == []


@pytest.mark.parametrize("document", list(documents()), ids=name_of)
def test_every_link_leads_somewhere(document):
    lost = []
    for link in (markdown or html for markdown, html in LINK.findall(document.read_text())):
        if re.match(r"https?:|mailto:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("document", list(documents()), ids=name_of)
def test_every_rule_that_is_named_exists(document):
    rules = set(re.findall(r"^\| `([A-Z0-9-]+)` \|", (ROOT / "ops/docs/rules.md").read_text(), re.MULTILINE))
    families = {rule.split("-")[0] for rule in rules}
    named = {rule for code in inline_code(document) for rule in RULE.findall(code)}
    assert {rule for rule in named - rules if rule.split("-")[0] in families} == set()


def test_the_readme_names_the_two_commands_and_every_document():
    readme = (ROOT / "README.md").read_text()
    assert "\nops/quickstart\n" in readme
    assert "\nops/test\n" in readme
    top = {
        name_of(path) for path in documents() if name_of(path).count("/") == 2 and "ops/docs" in name_of(path)
    }
    assert {name for name in top if f"({name})" not in readme} == set()


def test_the_records_of_decisions_are_numbered_titled_and_indexed():
    folder = ROOT / "ops/docs/adr"
    records = sorted(path for path in folder.glob("[0-9]*.md"))
    assert len(records) >= MINIMUM_RECORDS
    index = (folder / "README.md").read_text()
    for number, path in enumerate(records, 1):
        text = path.read_text()
        title = text.splitlines()[0].removeprefix("# ")
        assert path.name.startswith(f"{number:04}-")
        assert f"| [{number:04}]({path.name}) | {title} |" in index
        for heading in ("Context", "Drivers", "Options", "Outcome", "Bad consequences"):
            assert f"\n## {heading}\n" in text, f"{path.name} lacks {heading}"
