"""Every rule has an id, and the same id stands in the code, in ops/docs/rules.md and in a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.tree import ROOT, name_of, parsed, product_files, python_files, strings_in

RULE_ID = re.compile(r"[A-Z][A-Z0-9]+(?:-[A-Z0-9]+)+")
# Messages that are no `Violation` name their rule at the end.
IN_BRACKETS = re.compile(r"\[([A-Z][A-Z0-9]+(?:-[A-Z0-9]+)+)\]")
# Upper-case words with hyphens that are names of other people's things.
NOT_RULES = re.compile(r"(SHA|RSA|ECDSA|ML|SLH|P|RFC|ISO|UTF|AES)-[A-Z0-9-]+|X-[A-Z-]+|UNKNOWN-KEY|BEGIN-\w+")
# `core.document.parse_document(rule="X")` ends X in each of these.
DOCUMENT_ENDINGS = ("SIZE", "TOML", "UNKNOWN-KEY", "MISSING", "VALUE")


def document_rules(path: Path) -> set[str]:
    return {
        f"{keyword.value.value}-{ending}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "rule" and isinstance(keyword.value, ast.Constant)
        for ending in DOCUMENT_ENDINGS
    }


def rules_in_code() -> dict[str, str]:
    """Rule id -> one file that has it."""
    found = {}
    for path in product_files():
        texts = strings_in(path)
        literal = {text for text in texts if RULE_ID.fullmatch(text)}
        quoted = {rule_id for text in texts for rule_id in IN_BRACKETS.findall(text)}
        for rule_id in literal | quoted | document_rules(path):
            if not NOT_RULES.fullmatch(rule_id):
                found[rule_id] = name_of(path)
    return found


def rules_in_documents() -> list[str]:
    text = (ROOT / "ops/docs/rules.md").read_text()
    return re.findall(r"^\| `([A-Z0-9-]+)` \|", text, re.MULTILINE)


def test_every_rule_is_documented_and_every_documented_rule_exists():
    code, documents = rules_in_code(), rules_in_documents()
    undocumented = sorted(
        f"{rule_id} of {place}" for rule_id, place in code.items() if rule_id not in documents
    )
    assert not undocumented, "\n".join(undocumented)
    assert set(documents) - code.keys() == set()


def test_no_rule_is_documented_twice():
    documents = rules_in_documents()
    assert sorted(documents) == sorted(set(documents))


def test_every_rule_has_a_test():
    tests = "\n".join(path.read_text() for path in python_files() if name_of(path).startswith("tests/"))
    tested = set(RULE_ID.findall(tests))
    untested = sorted(
        f"{rule_id} of {place}" for rule_id, place in rules_in_code().items() if rule_id not in tested
    )
    assert not untested, "\n".join(untested)
