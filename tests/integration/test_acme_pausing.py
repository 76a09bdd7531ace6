"""Who fails for days is paused, name by name and account by account, until somebody ends it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from ca_server.core.acme.resources import OrderName
from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import parse_identifier
from ca_server.services.acme.pausing import (
    forget_old_failures,
    record_outcome,
    require_unpaused,
    unpause_account,
)
from ca_server.services.context import Context
from ca_server.store.acme_tables import acme_failure
from ca_server.store.tables import audit_event
from tests.fakes.stored_accounts import store_account

LIMITS = AcmeLimits.model_validate(
    {"failures_per_name": "1000000/1s", "pause_after_failures": 3, "pause_after": "2d"}
)
WWW, API = parse_identifier("dns:www.example.com"), parse_identifier("dns:api.example.com")
OFFICER = Principal("token:officer", Role.OFFICER, "token")


@pytest.fixture
def context(database, clock):
    return Context(clock, database, "test")


@pytest.fixture
def account(context):
    return store_account(context).id


def outcome(context, account, identifier, *, ok):
    with context.database.write() as unit:
        events = record_outcome(context, unit, LIMITS, account, identifier, ok=ok)
        if events:
            unit.commit(*events)
        else:
            unit.commit_unaudited("a test")


def fail(context, account, identifier, times=1):
    for _ in range(times):
        outcome(context, account, identifier, ok=False)


def paused(context, account, *names):
    """The refusal, or None."""
    try:
        with context.database.write() as unit:
            require_unpaused(unit, account, [OrderName(parse_identifier(each)) for each in names])
    except CaError as error:
        return error
    return None


def events(context, kind):
    with context.database.read() as connection:
        query = select(audit_event.c.body).where(audit_event.c.kind == kind)
        return [json.loads(row.body) for row in connection.execute(query.order_by(audit_event.c.number))]


def pause(context, clock, account, *identifiers):
    for each in identifiers:
        fail(context, account, each, 2)
    clock.advance(days=2)
    for each in identifiers:
        fail(context, account, each)


def test_many_failures_over_days_pause_a_name_for_its_account(context, clock, account):
    other = store_account(context).id
    fail(context, account, WWW, 5)
    clock.advance(days=2, seconds=-1)
    fail(context, account, WWW)
    assert paused(context, account, "dns:www.example.com") is None
    clock.advance(seconds=1)
    fail(context, account, WWW)
    refused = paused(context, account, "dns:api.example.com", "dns:www.example.com")
    assert (refused.kind, refused.rule_ids) == (Kind.RATE_LIMITED, ("ACME-LIMIT-PAUSED",))
    assert refused.violations[0].pointer == "/identifiers/1"
    assert refused.retry_after == 86_400
    assert f"sealkeeper acme account unpause {account} dns:www.example.com" in refused.detail
    assert paused(context, account, "dns:api.example.com") is None
    assert paused(context, other, "dns:www.example.com") is None
    [event] = events(context, "name.paused")
    assert event["data"] == {"account": account, "identifier": "dns:www.example.com", "failures": 7}
    fail(context, account, WWW)
    assert len(events(context, "name.paused")) == 1


def test_few_failures_pause_nothing_however_old(context, clock, account):
    fail(context, account, WWW)
    clock.advance(days=20)
    fail(context, account, WWW)
    assert paused(context, account, "dns:www.example.com") is None


def test_what_is_needed_for_a_name_is_what_is_paused(context, clock, account):
    pause(context, clock, account, WWW)
    assert paused(context, account, "dns:*.www.example.com") is not None
    below = OrderName(parse_identifier("dns:a.www.example.com"), "www.example.com")
    with context.database.write() as unit, pytest.raises(CaError, match="paused"):
        require_unpaused(unit, account, [below])
    assert paused(context, account, "dns:a.www.example.com") is None


def test_a_success_ends_a_run(context, clock, account):
    fail(context, account, WWW, 2)
    clock.advance(days=3)
    outcome(context, account, WWW, ok=True)
    fail(context, account, WWW)
    assert paused(context, account, "dns:www.example.com") is None
    assert events(context, "account.unpaused") == []


def test_a_success_ends_a_pause_and_says_so(context, clock, account):
    pause(context, clock, account, WWW)
    outcome(context, account, WWW, ok=True)
    assert paused(context, account, "dns:www.example.com") is None
    [event] = events(context, "account.unpaused")
    assert event["data"] == {"account": account, "names": ["dns:www.example.com"]}
    assert event["actor"]["id"] == "process:worker"


def test_an_officer_ends_the_pause_of_one_name_or_of_all(context, clock, account):
    third = parse_identifier("ip:192.0.2.7")
    pause(context, clock, account, WWW, API, third)
    assert unpause_account(context, OFFICER, account, "dns:www.example.com") == ["dns:www.example.com"]
    assert paused(context, account, "dns:www.example.com") is None
    assert paused(context, account, "dns:api.example.com") is not None
    # Failures are forgotten with it: one more does not pause at once.
    fail(context, account, WWW)
    assert paused(context, account, "dns:www.example.com") is None
    assert unpause_account(context, OFFICER, account, None) == ["dns:api.example.com", "ip:192.0.2.7"]
    assert [each["data"]["names"] for each in events(context, "account.unpaused")] == [
        ["dns:www.example.com"],
        ["dns:api.example.com", "ip:192.0.2.7"],
    ]
    for name in (None, "dns:www.example.com"):
        with pytest.raises(CaError) as caught:
            unpause_account(context, OFFICER, account, name)
        assert (caught.value.kind, caught.value.rule_ids) == (Kind.NOT_FOUND, ("ACME-NOT-PAUSED",))


def test_events_of_many_names_stay_within_their_size(context, clock, account):
    names = [parse_identifier(f"dns:{'a' * 60}.{'b' * 60}.{number}.example.com") for number in range(90)]
    pause(context, clock, account, *names)
    assert len(unpause_account(context, OFFICER, account, None)) == 90
    assert [len(each["data"]["names"]) for each in events(context, "account.unpaused")] == [40, 40, 10]


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.REQUESTER])
def test_r14_others_end_no_pause(context, clock, account, role):
    pause(context, clock, account, WWW)
    with pytest.raises(CaError) as caught:
        unpause_account(context, Principal("token:x", role, "token"), account, None)
    assert caught.value.rule_ids == ("ACCESS-ROLE",)
    assert paused(context, account, "dns:www.example.com") is not None


def test_failures_at_once_are_all_counted_and_pause_once(context, clock, account):
    fail(context, account, WWW)
    clock.advance(days=2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fail(context, account, WWW), range(20)))
    with context.database.read() as connection:
        [row] = connection.execute(select(acme_failure)).mappings()
    assert row["failures"] == 21
    assert len(events(context, "name.paused")) == 1


def test_old_runs_are_forgotten_and_pauses_never(context, clock, account):
    pause(context, clock, account, WWW)
    fail(context, account, API)
    clock.advance(days=29)
    assert forget_old_failures(context) == 0
    clock.advance(days=2)
    assert forget_old_failures(context) == 1
    clock.advance(days=1000)
    assert forget_old_failures(context) == 0
    assert paused(context, account, "dns:www.example.com") is not None
