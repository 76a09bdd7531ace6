"""The rules of a log's events, each broken once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca_server.core.audit.record import Actor, make_event
from ca_server.core.audit.rules import Bounds, EventRules, Severity
from ca_server.core.clock import from_epoch

START = from_epoch(1_800_000_000)
ACTOR = Actor("process:test", "process", "system")
INTENT = {
    "authority": "i1",
    "serial": "01",
    "tbs_sha256": "aa",
    "profile": "tls-server",
    "policy_sha256": "bb",
    "request": "r",
}
DONE = {"authority": "i1", "serial": "01", "tbs_sha256": "aa", "cert_sha256": "cc"}
ABANDONED = {"authority": "i1", "serial": "01", "tbs_sha256": "aa", "reason": "token lost"}
CRL_INTENT = {"authority": "i1", "crl_number": "1", "tbs_sha256": "aa"}
CRL_DONE = {"authority": "i1", "crl_number": "1", "crl_sha256": "dd"}
OPENING = {"origin": "example.com/log", "vkey": "the key"}


def event(number, kind, data, *, ref=None, after=0):
    time = START + timedelta(seconds=after)
    return make_event(
        event_id=f"e{number}", kind=kind, time=time, node="n", actor=ACTOR, data=data, ref=ref
    ).body


def judge(*entries, now=60, opening=True):
    """(severity, rule, index) of each finding about these events, after the one that opens the log."""
    rules = EventRules("example.com/log", "the key", Bounds())
    leaves = [event(0, "log.epoch-open", OPENING)] if opening else []
    leaves += entries
    found = [finding for index, leaf in enumerate(leaves) for finding in rules.judge(index, leaf)]
    found += rules.finish(START + timedelta(seconds=now))
    return [(finding.severity, finding.rule_id, finding.index) for finding in found]


def test_a_good_log():
    assert (
        judge(
            event(1, "issue.intent", INTENT),
            event(2, "crl.intent", CRL_INTENT),
            event(3, "issue.done", DONE, ref="e1"),
            event(4, "crl.done", CRL_DONE, ref="e2"),
            event(5, "issue.intent", INTENT | {"serial": "02"}),
            event(6, "issue.abandoned", ABANDONED | {"serial": "02"}, ref="e5"),
        )
        == []
    )


def test_no_events_no_findings():
    assert judge(opening=False) == []


@pytest.mark.parametrize(
    "first",
    [
        event(0, "issue.intent", INTENT),
        event(0, "log.epoch-open", OPENING | {"origin": "example.com/other"}),
        event(0, "log.epoch-open", OPENING | {"vkey": "another key"}),
    ],
)
def test_a_log_opens_with_its_own_name_and_key(first):
    assert (Severity.BAD, "AUDIT-EPOCH", 0) in judge(first, opening=False)


def test_a_leaf_that_is_not_canonical():
    assert judge(event(1, "issue.intent", INTENT) + b" ") == [(Severity.BAD, "AUDIT-CANONICAL", 1)]


def test_a_kind_from_the_future_cannot_be_judged():
    body = event(1, "token.revoked", {"token": "t"}).replace(b"token.revoked", b"token.resumed")
    assert judge(body) == [(Severity.UNKNOWN, "AUDIT-KIND", 1)]


def test_an_event_that_does_not_say_what_it_must():
    body = event(1, "token.revoked", {"token": "t"}).replace(b'{"token":"t"}', b"{}")
    assert judge(body) == [(Severity.BAD, "AUDIT-KIND", 1)]


def test_an_event_twice():
    body = event(1, "token.revoked", {"token": "t"})
    assert judge(body, body) == [(Severity.BAD, "AUDIT-EVENT-UNIQUE", 2)]


def test_a_serial_number_twice():
    entries = [
        event(1, "issue.intent", INTENT),
        event(2, "issue.done", DONE, ref="e1"),
        event(3, "issue.intent", INTENT),
        event(4, "issue.abandoned", ABANDONED, ref="e3"),
    ]
    assert judge(*entries) == [(Severity.BAD, "AUDIT-ONCE", 3)]


def test_a_serial_number_of_two_authorities_is_two():
    entries = [
        event(1, "issue.intent", INTENT),
        event(2, "issue.done", DONE, ref="e1"),
        event(3, "issue.intent", INTENT | {"authority": "i2"}),
        event(4, "issue.done", DONE | {"authority": "i2", "cert_sha256": "ee"}, ref="e3"),
    ]
    assert judge(*entries) == []


def test_a_crl_number_twice():
    entries = [
        event(1, "crl.intent", CRL_INTENT),
        event(2, "crl.done", CRL_DONE, ref="e1"),
        event(3, "crl.intent", CRL_INTENT),
        event(4, "crl.done", CRL_DONE, ref="e3"),
    ]
    assert judge(*entries) == [(Severity.BAD, "AUDIT-ONCE", 3)]


@pytest.mark.parametrize("ref", [None, "e0", "e9"])
def test_an_outcome_without_intent(ref):
    assert judge(event(1, "issue.done", DONE, ref=ref)) == [(Severity.BAD, "AUDIT-INTENT", 1)]


def test_an_outcome_of_another_kind_of_intent():
    entries = [event(1, "crl.intent", CRL_INTENT), event(2, "issue.done", DONE, ref="e1")]
    assert (Severity.BAD, "AUDIT-INTENT", 2) in judge(*entries)


def test_an_intent_after_its_outcome():
    entries = [event(1, "issue.done", DONE, ref="e2"), event(2, "issue.intent", INTENT)]
    assert (Severity.BAD, "AUDIT-INTENT", 1) in judge(*entries)


@pytest.mark.parametrize("second", [event(3, "issue.abandoned", ABANDONED, ref="e1")])
def test_a_second_outcome(second):
    entries = [event(1, "issue.intent", INTENT), event(2, "issue.done", DONE, ref="e1"), second]
    assert judge(*entries) == [(Severity.BAD, "AUDIT-OUTCOME", 3)]


@pytest.mark.parametrize("change", [{"serial": "02"}, {"tbs_sha256": "ab"}, {"authority": "i2"}])
def test_an_outcome_about_something_else(change):
    entries = [event(1, "issue.intent", INTENT), event(2, "issue.done", DONE | change, ref="e1")]
    assert judge(*entries) == [(Severity.BAD, "AUDIT-OUTCOME", 2)]


def test_an_open_intent_is_told_and_later_a_fault():
    entry = event(1, "issue.intent", INTENT)
    assert judge(entry) == [(Severity.NOTE, "AUDIT-OPEN-INTENT", 1)]
    late = judge(entry, event(2, "token.revoked", {"token": "t"}, after=3700), now=3700)
    assert (Severity.BAD, "AUDIT-OPEN-INTENT", 1) in late


def test_time_may_run_back_a_little_only():
    ahead = event(1, "token.revoked", {"token": "t"}, after=400)
    assert judge(ahead, event(2, "token.revoked", {"token": "u"}, after=100), now=400) == []
    back = judge(ahead, event(2, "token.revoked", {"token": "u"}, after=99), now=400)
    assert back == [(Severity.BAD, "AUDIT-TIME", 2)]


def test_time_is_never_of_the_future():
    ahead = event(1, "token.revoked", {"token": "t"}, after=400)
    assert judge(ahead, now=99) == [(Severity.BAD, "AUDIT-TIME", None)]


def test_silence_is_told():
    late = event(1, "token.revoked", {"token": "t"}, after=901)
    assert judge(late, now=901) == [(Severity.NOTE, "AUDIT-SILENCE", 1)]
    assert judge(now=901) == [(Severity.NOTE, "AUDIT-SILENCE", None)]
    assert judge(now=900) == []
