"""The room's page says of every table, field and verb of a script that it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ceremony.script import Script
from ceremony.steps import AnyVerb
from tests.architecture.tree import ROOT

PAGE = (ROOT / "ceremony/README.md").read_text()
VERBS = {get_args(verb.model_fields["do"].annotation)[0]: verb for verb in get_args(get_args(AnyVerb)[0])}
TABLES = [name for name in Script.model_fields if name != "steps"]


def row(pattern: str) -> str:
    [found] = re.findall(rf"^\| {pattern}(?: \||,).*$", PAGE, re.MULTILINE)
    return found


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("name", TABLES)
def test_every_field_of_a_table_is_named(name):
    models = list(models_in(Script.model_fields[name].annotation))
    if not models:
        assert f"`{name}`" in row("top")
        return
    described = row(rf"`\[\[?{name}(?:\.[A-Z]+)?\]?\]`")
    assert [field for field in models[0].model_fields if f"`{field}`" not in described] == []


def test_every_verb_and_no_other_is_there():
    [table] = re.findall(r"^\| verb \| does \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert re.findall(r"^\| `([a-z.-]+)` \|", table, re.MULTILINE) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_field_of_a_verb_is_named(verb):
    fields = [name for name in VERBS[verb].model_fields if name not in {"id", "do"}]
    assert [name for name in fields if f"`{name}`" not in row(f"`{verb}`")] == []
