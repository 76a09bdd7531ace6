"""Whatever bytes come in the place of a script, a host file or a bundle, nothing but CaError comes out."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from importlib.resources import files

from hypothesis import given, settings
from hypothesis import strategies as st

from ca_server.core.archive import pack, unpack
from ca_server.core.bundle import read_bundle
from ca_server.core.errors import CaError
from ca_server.core.hierarchy import check_hierarchy
from ceremony.host import parse_host
from ceremony.plan import make_plan
from ceremony.script import parse_script

READY = (files("ceremony") / "scripts" / "first-hierarchy.toml").read_bytes()
NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
LINES = READY.decode().splitlines()
VALUES = st.one_of(
    st.sampled_from(
        [
            "true",
            "0",
            "-1",
            "1e400",
            "nan",
            "[]",
            "{}",
            '""',
            "1979-05-27",
            "07:32:00",
            "0001-01-01T00:00:00+14:00",
        ]
    ),
    st.integers().map(str),
    st.text(max_size=80).map(lambda text: '"' + text.translate({34: "'", 92: "/", 10: " ", 13: " "}) + '"'),
)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?(/[a-z0-9]{1,9})?", fullmatch=True)


@given(st.binary(max_size=2000))
def test_any_bytes(data):
    for parse in (parse_script, parse_host, read_bundle, unpack):
        with contextlib.suppress(CaError):
            parse(data)


@given(st.integers(0, len(READY) - 1), st.binary(max_size=6), st.integers(0, 30))
@settings(max_examples=400)
def test_any_change_of_a_good_script(position, inserted, removed):
    changed = READY[:position] + inserted + READY[position + removed :]
    with contextlib.suppress(CaError):
        make_plan(changed, NOW)


@given(st.integers(0, len(LINES) - 1), VALUES)
@settings(max_examples=400)
def test_any_value_in_any_field(line, value):
    lines = list(LINES)
    lines[line] = f"{lines[line].partition('=')[0]}= {value}"
    with contextlib.suppress(CaError):
        make_plan("\n".join(lines).encode(), NOW)


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=8))
def test_an_archive_gives_back_what_was_packed(contents):
    assert unpack(pack(contents)) == contents


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_change_of_a_good_bundle(bundle_data, data):
    position = data.draw(st.integers(0, len(bundle_data) - 1))
    inserted = data.draw(st.binary(max_size=8))
    removed = data.draw(st.integers(0, 600))
    changed = bundle_data[:position] + inserted + bundle_data[position + removed :]
    with contextlib.suppress(CaError):
        check_hierarchy(read_bundle(changed))
