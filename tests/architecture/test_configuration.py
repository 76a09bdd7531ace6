"""Every key of every configuration file is documented, and every documented key exists."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from ca_server.config import Config
from ceremony.host import Host
from ocsp_responder.config import ResponderConfig
from tests.architecture.tree import ROOT

# Model -> the heading of its table in ops/docs/configuration.md and its example.
FILES: dict[type[BaseModel], tuple[str, str]] = {
    Config: ("server.toml", "ops/examples/server.toml"),
    ResponderConfig: ("ocsp.toml", "ops/examples/ocsp.toml"),
    Host: ("host.toml", "ops/examples/host.toml"),
}
each_file = pytest.mark.parametrize("model", FILES, ids=lambda model: FILES[model][0])


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of leaves; a table of named tables counts as one level called NAME."""
    for name, field in model.model_fields.items():
        nested = list(models_in(field.annotation))
        named = "NAME." if get_origin(field.annotation) is dict else ""
        if not nested:
            yield prefix + (field.alias or name)
        for each in nested:
            yield from keys_of(each, f"{prefix}{field.alias or name}.{named}")


def documented_keys(heading: str) -> list[str]:
    text = (ROOT / "ops/docs/configuration.md").read_text()
    [section] = re.findall(rf"^## `{re.escape(heading)}`$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `([A-Za-z0-9_.]+)` \|", section, re.MULTILINE)


@each_file
def test_every_key_is_documented_and_every_documented_key_exists(model):
    heading, _ = FILES[model]
    assert sorted(documented_keys(heading)) == sorted(keys_of(model))


@each_file
def test_the_example_is_accepted(model):
    _, example = FILES[model]
    model.model_validate(tomllib.loads((ROOT / example).read_text()))


@each_file
def test_the_example_shows_every_table(model):
    _, example = FILES[model]
    shown = set(tomllib.loads((ROOT / example).read_text()))
    assert {key.split(".")[0] for key in keys_of(model) if "." in key} - shown == set()
