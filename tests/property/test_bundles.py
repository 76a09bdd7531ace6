"""Whatever bytes come as a bundle, a transcript or a closing statement: read, or refused by a rule."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca_server.core.archive import pack, unpack
from ca_server.core.bundle import read_bundle
from ca_server.core.ceremony.closing import make_closing, parse_closing
from ca_server.core.ceremony.script_facts import parse_script_facts
from ca_server.core.ceremony.transcript import parse_transcript
from ca_server.core.ceremony.verify import verify_bundle
from ca_server.core.errors import CaError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=2000))
def test_any_bytes(data):
    for parse in (parse_transcript, parse_closing, parse_script_facts, read_bundle):
        with suppress(CaError):
            parse(data)


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_change_of_a_good_bundle_is_refused(installable, data):
    position = data.draw(st.integers(0, len(installable) - 1))
    removed = data.draw(st.integers(0, 600))
    inserted = data.draw(st.binary(max_size=600))
    changed = installable[:position] + inserted + installable[position + removed :]
    if changed != installable:
        with pytest.raises(CaError):
            verify_bundle(changed)


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_json_in_a_line_of_a_transcript(installable, data):
    """A line whose data was exchanged is never taken for what was signed, and never a crash."""
    files = unpack(installable)
    lines = files["transcript.jsonl"].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    line = json.loads(lines[number])
    member = data.draw(st.sampled_from(sorted(line)))
    line[member] = data.draw(values)
    with suppress(rfc8785.CanonicalizationError, UnicodeEncodeError):
        lines[number] = rfc8785.dumps(line)
    changed = b"".join(each + b"\n" for each in lines)
    if changed != files["transcript.jsonl"]:
        with pytest.raises(CaError):
            verify_bundle(pack(files | {"transcript.jsonl": changed}))


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_closing_statement_is_read_in_one_spelling(installable, data):
    text = unpack(installable)["closing.txt"]
    position = data.draw(st.integers(0, len(text)))
    changed = (
        text[:position] + data.draw(st.binary(max_size=8)) + text[position + data.draw(st.integers(0, 8)) :]
    )
    with suppress(CaError):
        assert make_closing(parse_closing(changed)) == changed
