"""Limits as rows: exact under concurrency, free where nothing came of it, and exact about when to return."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from ca_server.core.acme.resources import OrderName
from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import parse_identifier
from ca_server.core.rates import Rate
from ca_server.services.acme.limits import count_failure, forget_full_buckets, spend
from ca_server.services.acme.order_limits import count_certificates, spend_order
from ca_server.services.context import Context
from ca_server.services.refusals import network_of
from ca_server.store.acme_tables import rate_limit

LIMITS = AcmeLimits.model_validate(
    {
        "orders_per_account": "5/1m",
        "certificates_per_name": "3/10m",
        "certificates_per_name_set": "2/10m",
        "failures_per_name": "2/1m",
    }
)
WWW, API = parse_identifier("dns:www.example.com"), parse_identifier("dns:api.example.com")


@pytest.fixture
def context(database, clock):
    return Context(clock, database, "test")


def spend_once(context, rate, subject="a", limit="orders_per_account"):
    """None, or the refusal."""
    try:
        with context.database.write() as unit:
            spend(unit, limit, subject, rate, to_epoch(context.clock.now()))
            unit.commit_unaudited("a test")
    except CaError as error:
        return error
    return None


def order_once(context, *names, account="account-1"):
    try:
        with context.database.write() as unit:
            wanted = [OrderName(each) for each in names]
            spend_order(unit, LIMITS, account, wanted, to_epoch(context.clock.now()), is_free=False)
            unit.commit_unaudited("a test")
    except CaError as error:
        return error
    return None


def certify(context, *names):
    with context.database.write() as unit:
        count_certificates(unit, LIMITS, [frozenset(names)], to_epoch(context.clock.now()))
        unit.commit_unaudited("a test")


def rows(context):
    with context.database.read() as connection:
        return connection.execute(select(func.count()).select_from(rate_limit)).scalar_one()


@pytest.mark.parametrize("rate", [Rate(7, 10), Rate(1, 1), Rate(20, 3600), Rate(3, 7)])
def test_so_many_pass_and_the_next_exactly_when_it_was_told(context, clock, rate):
    for _ in range(rate.count):
        assert spend_once(context, rate) is None
    refused = spend_once(context, rate)
    assert (refused.kind, refused.rule_ids) == (Kind.RATE_LIMITED, ("ACME-LIMIT-ORDERS",))
    assert 0 < refused.retry_after <= -(-rate.seconds // rate.count) + 1
    clock.advance(seconds=refused.retry_after - 1)
    too_early = spend_once(context, rate)
    assert too_early is not None
    assert too_early.retry_after == 1
    clock.advance(seconds=1)
    assert spend_once(context, rate) is None


def test_whoever_waits_has_the_whole_limit_again_and_never_more(context, clock):
    rate = Rate(5, 60)
    for _ in range(3):
        clock.advance(days=1)
        assert [spend_once(context, rate) is None for _ in range(6)] == [True] * 5 + [False]
    clock.advance(seconds=24)
    assert [spend_once(context, rate) is None for _ in range(3)] == [True, True, False]


def test_subjects_and_limits_do_not_share(context):
    rate = Rate(1, 60)
    for limit in ("orders_per_account", "accounts_per_address"):
        for subject in ("a", "b"):
            assert spend_once(context, rate, subject, limit) is None
            assert spend_once(context, rate, subject, limit) is not None


def test_what_is_not_committed_is_not_spent(context):
    rate = Rate(1, 60)
    for _ in range(3):
        with context.database.write() as unit:
            spend(unit, "orders_per_account", "a", rate, to_epoch(context.clock.now()))
    assert spend_once(context, rate) is None
    assert spend_once(context, rate) is not None


@pytest.mark.parametrize("spent_before", [0, 13])
def test_r11_of_fifty_threads_exactly_as_many_pass_as_are_allowed(context, spent_before):
    rate = Rate(30, 3600)
    for _ in range(spent_before):
        spend_once(context, rate)
    with ThreadPoolExecutor(50) as pool:
        refusals = list(pool.map(lambda _: spend_once(context, rate), range(100)))
    assert sum(each is None for each in refusals) == 30 - spent_before
    assert {each.rule_ids for each in refusals if each} == {("ACME-LIMIT-ORDERS",)}


def test_orders_of_an_account_are_limited_and_a_refused_order_costs_nothing(context, clock):
    assert [order_once(context, WWW) is None for _ in range(6)] == [True] * 5 + [False]
    refused = order_once(context, WWW)
    assert (refused.rule_ids, refused.retry_after) == (("ACME-LIMIT-ORDERS",), 12)
    assert order_once(context, WWW, account="account-2") is None
    clock.advance(seconds=12)
    assert order_once(context, WWW) is None


def test_nobody_uses_up_the_names_of_others_by_orders_alone(context):
    """An order that comes to nothing counts for its account, never for the names in it."""
    for _ in range(5):
        assert order_once(context, WWW, account="attacker") is None
    certify(context, API)
    assert order_once(context, WWW, account="owner") is None


def test_certificates_are_limited_by_name_set_and_by_name(context, clock):
    certify(context, WWW, API)
    certify(context, API, WWW)
    refused = order_once(context, WWW, API)
    assert refused.rule_ids == ("ACME-LIMIT-NAMES",)
    assert refused.violations[0].pointer is None
    assert order_once(context, WWW) is None
    certify(context, WWW)
    refused = order_once(context, API, WWW)
    assert refused.rule_ids == ("ACME-LIMIT-NAMES", "ACME-LIMIT-NAME")
    assert [each.pointer for each in refused.violations] == [None, "/identifiers/1"]
    # The refusal holds until the last of them is over.
    assert refused.retry_after == 300
    refused = order_once(context, WWW)
    assert (refused.rule_ids, refused.retry_after) == (("ACME-LIMIT-NAME",), 200)
    assert order_once(context, API) is None
    clock.advance(seconds=200)
    assert order_once(context, WWW) is None


def test_who_has_an_order_gets_the_certificate_beyond_the_limit(context):
    for _ in range(10):
        certify(context, WWW)
    assert order_once(context, WWW).retry_after == 300


def test_failures_of_a_name_are_those_of_one_account(context):
    now = to_epoch(context.clock.now())
    with context.database.write() as unit:
        for _ in range(5):
            count_failure(unit, LIMITS, "account-1", WWW, now)
        unit.commit_unaudited("a test")
    refused = order_once(context, API, WWW)
    assert (refused.rule_ids, refused.violations[0].pointer) == (("ACME-LIMIT-FAILURES",), "/identifiers/1")
    assert refused.retry_after == 30
    wildcard = parse_identifier("dns:*.www.example.com")
    assert order_once(context, wildcard).rule_ids == ("ACME-LIMIT-FAILURES",)
    assert order_once(context, API) is None
    assert order_once(context, WWW, account="account-2") is None


def test_only_empty_buckets_are_forgotten(context, clock):
    spend_once(context, Rate(5, 50), "quick")
    spend_once(context, Rate(5, 500), "slow")
    assert forget_full_buckets(context) == 0
    clock.advance(seconds=10)
    assert forget_full_buckets(context) == 1
    assert rows(context) == 1
    assert [spend_once(context, Rate(5, 500), "slow") is None for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_an_address_is_whose_it_is(address, network):
    assert network_of(address) == network


def test_new_accounts_are_limited_by_address(context):
    rate = Rate(1, 60)
    assert spend_once(context, rate, network_of("2001:db8::1"), "accounts_per_address") is None
    refused = spend_once(context, rate, network_of("2001:db8::2"), "accounts_per_address")
    assert refused.rule_ids == ("ACME-LIMIT-ACCOUNTS",)
