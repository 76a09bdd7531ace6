"""A leaf is canonical JSON: the bytes that an independent RFC 8785 library writes."""

from __future__ import annotations

import json

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.audit.record import MAX_INTEGER, Actor, make_event, parse_event
from ca_server.core.clock import from_epoch

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_keys = st.text(st.characters(max_codepoint=127), max_size=20)
_plain = _texts | st.booleans() | st.none() | st.integers(-MAX_INTEGER, MAX_INTEGER)
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_keys, _values, max_size=5), _texts)
def test_a_leaf_is_what_rfc8785_writes(data, actor_id):
    event = make_event(
        event_id="e",
        kind="grant.revoked",
        time=from_epoch(1_800_000_000),
        node="ca-1",
        actor=Actor(actor_id, "token", "officer"),
        data={**data, "grant": "g"},
    )
    assert event.body == rfc8785.dumps(json.loads(event.body))
    assert parse_event(event.body)["data"] == {**data, "grant": "g"}
