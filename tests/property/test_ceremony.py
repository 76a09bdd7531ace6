"""Whatever bytes come in the place of a script or a host file, nothing but CaError comes out."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ca_server.core.archive import pack, unpack
from ca_server.core.bundle import read_bundle
from ca_server.core.errors import CaError
from ceremony.display import Display
from ceremony.host import parse_host
from ceremony.plan import make_plan
from ceremony.ready import kinds
from ceremony.script import parse_script
from ceremony.validity_rules import check_validities

SCRIPTS = {kind: (files("ceremony") / "scripts" / f"{kind}.toml").read_bytes() for kind in kinds()}
NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
VALUES = st.one_of(
    st.sampled_from(
        ["true", "0", "-1", "1e400", "nan", "[]", "{}", '""', "1979-05-27", "0001-01-01T00:00:00+14:00"]
    ),
    st.sampled_from(['"root-r1"', '"root"', '"issuing-i1"', '"root-r1-crl"', '"certificate"', '["root-r1"]']),
    st.integers().map(str),
    st.text(max_size=80).map(lambda text: '"' + text.translate({34: "'", 92: "/", 10: " ", 13: " "}) + '"'),
)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?(/[a-z0-9]{1,9})?", fullmatch=True)


def plan_and_show(script: bytes) -> None:
    """All that is done with a script before a room is entered."""
    with contextlib.suppress(CaError):
        plan = make_plan(script)
        check_validities(plan.script, NOW)
        Display(Console(file=io.StringIO())).show_plan(plan)


@given(st.binary(max_size=2000))
def test_any_bytes(data):
    for parse in (parse_script, parse_host, read_bundle, unpack):
        with contextlib.suppress(CaError):
            parse(data)


@given(st.sampled_from(sorted(SCRIPTS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_change_of_a_good_script(kind, data):
    script = SCRIPTS[kind]
    position = data.draw(st.integers(0, len(script) - 1))
    removed = data.draw(st.integers(0, 30))
    plan_and_show(script[:position] + data.draw(st.binary(max_size=6)) + script[position + removed :])


@given(st.sampled_from(sorted(SCRIPTS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_value_in_any_field(kind, data):
    lines = SCRIPTS[kind].decode().splitlines()
    line = data.draw(st.integers(0, len(lines) - 1))
    lines[line] = f"{lines[line].partition('=')[0]}= {data.draw(VALUES)}"
    plan_and_show("\n".join(lines).encode())


@given(st.sampled_from(sorted(SCRIPTS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_table_left_out_or_moved(kind, data):
    tables = SCRIPTS[kind].decode().split("\n\n")
    taken = tables.pop(data.draw(st.integers(0, len(tables) - 1)))
    if data.draw(st.booleans()):
        tables.insert(data.draw(st.integers(0, len(tables))), taken)
    plan_and_show("\n\n".join(tables).encode())


@pytest.mark.parametrize("kind", sorted(SCRIPTS))
def test_every_ready_script_is_a_good_one(kind):
    plan = make_plan(SCRIPTS[kind])
    check_validities(plan.script, NOW)
    assert plan.script.kind == kind


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=8))
def test_an_archive_gives_back_what_was_packed(contents):
    assert unpack(pack(contents)) == contents
