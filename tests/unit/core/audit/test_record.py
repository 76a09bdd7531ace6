"""Events: one canonical form, a closed catalogue, and a reader that takes nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest

from ca_server.core.audit.record import MAX_LEAF_BYTES, Actor, leaf_hash, make_event, parse_event
from ca_server.core.clock import from_epoch
from ca_server.core.errors import CaError


def make(**changes):
    arguments = {
        "event_id": "e-1",
        "kind": "software.started",
        "time": from_epoch(1_800_000_000),
        "node": "ca-1",
        "actor": Actor("process:worker", "process", "system"),
        "data": {"process": "worker", "version": "1"},
    }
    return make_event(**(arguments | changes))


def test_the_form():
    event = make(ref="e-0")
    assert event.body == (
        b'{"actor":{"auth":"process","id":"process:worker","role":"system"},'
        b'"data":{"process":"worker","version":"1"},"event_id":"e-1","kind":"software.started",'
        b'"node":"ca-1","outcome":"success","ref":"e-0","time":"2027-01-15T08:00:00Z","v":1}'
    )
    assert event.leaf_hash == leaf_hash(event.body) == hashlib.sha256(b"\0" + event.body).digest()


def test_what_is_made_is_read_back():
    leaf = parse_event(make(ref="e-0").body)
    assert leaf["time"] == from_epoch(1_800_000_000)
    assert (leaf["event_id"], leaf["kind"], leaf["ref"]) == ("e-1", "software.started", "e-0")
    assert leaf["data"] == {"process": "worker", "version": "1"}
    assert "ref" not in parse_event(make().body)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "no.such-kind"},
        {"data": {"process": "worker"}},
        {"data": {"process": "worker", "version": 1.5}},
        {"data": {"process": "worker", "version": [{"x": 1.0}]}},
        {"data": {"process": "worker", "version": 2**53}},
        {"data": {"process": "worker", "version": "x" * MAX_LEAF_BYTES}},
    ],
)
def test_events_that_cannot_be_made(changes):
    with pytest.raises(ValueError, match=r"event|domain"):
        make(**changes)


GOOD = make().body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"text"',
        b"\xff",
        GOOD + b"\n",
        b" " + GOOD,
        GOOD.replace(b'"v":1', b'"v":1.0'),
        GOOD.replace(b'"v":1', b'"v":1e0'),
        GOOD.replace(b'"v":1', b'"v":2'),
        GOOD.replace(b'"v":1', b'"v":true'),
        GOOD.replace(b'"v":1', b'"v":1,"v":1'),
        GOOD.replace(b'"v":1', b'"v":1,"w":1'),
        GOOD.replace(b'"v":1', b'"v":NaN'),
        GOOD.replace(b'"v":1', b'"v":' + b"9" * 5000),
        GOOD.replace(b'"event_id":"e-1"', b'"event_id":1'),
        GOOD.replace(b'"event_id":"e-1"', b'"event_id":"\\u0065-1"'),
        GOOD.replace(b'"event_id":"e-1"', b'"event_id":"\\ud800"'),
        GOOD.replace(b'"node":"ca-1",', b""),
        GOOD.replace(b'"role":"system"', b'"role":null'),
        GOOD.replace(b'{"auth":"process","id":"process:worker","role":"system"}', b'"me"'),
        GOOD.replace(b'{"process":"worker","version":"1"}', b"[]"),
        GOOD.replace(b"08:00:00Z", b"08:00:00+00:00"),
        GOOD.replace(b"08:00:00Z", b"08:00:00.5Z"),
        GOOD.replace(b"2027-01-15T08:00:00Z", b"yesterday"),
        GOOD.replace(b"2027-01-15T08:00:00Z", b"2027-01-15"),
        b"[" * MAX_LEAF_BYTES,
        b'{"a":' * (MAX_LEAF_BYTES // 5),
        json.dumps(json.loads(GOOD)).encode(),
        b"x" * (MAX_LEAF_BYTES + 1),
    ],
)
def test_every_other_form_is_refused(body):
    with pytest.raises(CaError) as caught:
        parse_event(body)
    assert caught.value.rule_ids == ("AUDIT-CANONICAL",)
