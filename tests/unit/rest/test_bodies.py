"""JSON from strangers: strict, shallow, and never a traceback."""

from __future__ import annotations

import contextlib
import json

import pytest
from flask import Flask
from hypothesis import assume, given
from hypothesis import strategies as st

from ca_server.core.strict_json import MAX_DEPTH
from ca_server.rest.bodies import StrictJSON

STRICT = StrictJSON(Flask("test", static_folder=None))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        "NaN",
        '{"a": Infinity}',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        '{"a":' * 50_000,
    ],
)
def test_r31_what_is_not_strict_json_is_refused(text):
    with pytest.raises(ValueError):
        STRICT.loads(text)


def test_depth_is_counted_to_the_cap():
    assert STRICT.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_it_reads_what_it_writes(value):
    assume(depth(value) <= MAX_DEPTH)
    assert STRICT.loads(json.dumps(value)) == value


def depth(value):
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


@given(st.text() | st.binary())
def test_any_bytes_are_json_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        STRICT.loads(data)
