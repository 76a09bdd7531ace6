"""`replaces` of RFC 9773 §5: for whose certificate it is, once, and not blocked by what failed."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography import x509

from ca_server.core.acme.certid import certid_of
from ca_server.core.acme.resources import Status
from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError, Kind
from ca_server.services.acme.authorizations import deactivate_authorization
from ca_server.services.acme.certificates import read_certificate
from ca_server.services.acme.orders import find_order
from ca_server.services.acme.renewal import certid_text, renewal_info
from ca_server.services.acme.renewal_flags import NewFlag, create_flag
from ca_server.services.chains import Chains
from ca_server.store.acme_tables import acme_order
from ca_server.store.renewal_flags import FlagScope
from tests.fixtures.ordering import csr_for

NAMES = ("a.example.com", "b.example.com")


def make(ordering, account, *names, **more):
    """An order all the way to its certificate."""
    order = ordering.prove(account, ordering.order(account, *names, **more))
    return ordering.finalize(account, order, csr_for(*names))


def name_of(ordering, order):
    text = certid_text(ordering.issuing.context, order.certificate_id)
    assert text is not None
    return text


def refusal(call, *arguments, **keywords) -> CaError:
    with pytest.raises(CaError) as caught:
        call(*arguments, **keywords)
    return caught.value


def test_a_certificate_is_replaced_by_an_order_that_shares_a_name(ordering):
    account = ordering.account()
    old = make(ordering, account, *NAMES)
    order = ordering.order(account, "b.example.com", "c.example.com", replaces=name_of(ordering, old))
    assert order.replaces == old.certificate_id
    pem, _ = read_certificate(
        ordering.issuing.context, Chains(ordering.issuing.context), account, old.certificate_id, None
    )
    leaf = x509.load_pem_x509_certificates(pem.encode())[0]
    assert str(certid_of(leaf)) == name_of(ordering, old)
    # Its own time stays what it was: who replaced it needs no telling.
    info = renewal_info(ordering.issuing.context, name_of(ordering, old))
    assert info.start > ordering.issuing.clock.now()


def test_the_second_replacement_is_refused_until_the_first_has_failed(ordering):
    account = ordering.account()
    old = make(ordering, account, *NAMES)
    first = ordering.order(account, *NAMES, replaces=name_of(ordering, old))
    error = refusal(ordering.order, account, *NAMES, replaces=name_of(ordering, old))
    assert (error.kind, error.rule_ids) == (Kind.CONFLICT, ("ACME-REPLACED",))
    new = ordering.finalize(account, first, csr_for(*NAMES))
    assert new.status is Status.VALID
    assert refusal(ordering.order, account, *NAMES, replaces=name_of(ordering, old)).rule_ids == (
        "ACME-REPLACED",
    )
    again = ordering.order(account, *NAMES, replaces=name_of(ordering, new))
    assert again.replaces == new.certificate_id


def fail_by_time(ordering, account, order):
    ordering.issuing.clock.advance(days=2)


def fail_by_validation(ordering, account, order):
    pending = next(each for each in ordering.authorizations(account, order) if each.status is Status.PENDING)
    ordering.settle(account, pending, "failure")


def fail_by_deactivation(ordering, account, order):
    for each in ordering.authorizations(account, order):
        if each.status is Status.PENDING:
            deactivate_authorization(ordering.issuing.context, account, each.id)


@pytest.mark.parametrize("fail", [fail_by_time, fail_by_validation, fail_by_deactivation])
def test_a_failed_replacement_leaves_its_place(ordering, fail):
    """That an order failed is not stored: it must not block renewal for ever all the same."""
    account = ordering.account()
    old = make(ordering, account, *NAMES)
    names = (*NAMES, "new.example.com")
    failed = ordering.order(account, *names, replaces=name_of(ordering, old))
    fail(ordering, account, failed)
    assert find_order(ordering.issuing.context, account, failed.id).status is Status.INVALID
    again = ordering.order(account, *names, replaces=name_of(ordering, old))
    assert again.replaces == old.certificate_id
    assert find_order(ordering.issuing.context, account, failed.id).status is Status.INVALID
    assert refusal(ordering.order, account, *names, replaces=name_of(ordering, old)).rule_ids == (
        "ACME-REPLACED",
    )


def test_r36_of_many_replacements_at_once_one_gets_the_place(ordering):
    account = ordering.account()
    old = make(ordering, account, *NAMES)
    failed = ordering.order(account, *NAMES, "new.example.com", replaces=name_of(ordering, old))
    fail_by_validation(ordering, account, failed)
    certid, start = name_of(ordering, old), threading.Barrier(20)

    def attempt(_number):
        start.wait()
        try:
            return ordering.order(account, *NAMES, replaces=certid).id
        except CaError as error:
            return error.rule_ids[0]

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(attempt, range(20)))
    assert outcomes.count("ACME-REPLACED") == 19
    with ordering.issuing.context.database.read() as connection:
        rows = connection.execute(
            acme_order.select().where(acme_order.c.replaces == old.certificate_id)
        ).all()
    assert sorted(row.status for row in rows) == ["invalid", "pending"]


def test_others_certificates_and_other_names_are_not_replaced(ordering):
    owner, stranger = ordering.account(), ordering.account()
    old = make(ordering, owner, *NAMES)
    for error in (
        refusal(ordering.order, stranger, *NAMES, replaces=name_of(ordering, old)),
        refusal(ordering.order, owner, "c.example.com", replaces=name_of(ordering, old)),
        refusal(ordering.order, owner, *NAMES, replaces="aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),
        refusal(ordering.order, owner, *NAMES, replaces=str(certid_of(ordering.issuing.issuer))),
    ):
        assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("ACME-REPLACES",))
    assert refusal(ordering.order, owner, *NAMES, replaces="what.ever!").rule_ids == ("ACME-CERTID",)


def test_what_was_issued_over_rest_is_no_accounts_to_replace(ordering):
    issued = ordering.issuing.issue("a.example.com")
    certid = certid_text(ordering.issuing.context, issued.certificate_id)
    error = refusal(ordering.order, ordering.account(), "a.example.com", replaces=certid)
    assert error.rule_ids == ("ACME-REPLACES",)


def test_whoever_renews_what_was_flagged_is_not_told_to_renew_again(ordering):
    account = ordering.account()
    old = make(ordering, account, *NAMES)
    officer = Principal("token:officer", Role.OFFICER, "token")
    context, clock = ordering.issuing.context, ordering.issuing.clock
    clock.advance(seconds=1)
    create_flag(context, officer, ordering.rules.policies, NewFlag(FlagScope.PROFILE, "tls-server"))
    assert renewal_info(context, name_of(ordering, old)).end <= clock.now()
    clock.advance(seconds=1)
    new = make(ordering, account, *NAMES, replaces=name_of(ordering, old))
    assert renewal_info(context, name_of(ordering, new)).start > clock.now()


def test_a_certificate_is_fetched_by_who_ordered_it_alone(ordering):
    context = ordering.issuing.context
    account, chains = ordering.account(), Chains(context)
    order = make(ordering, account, *NAMES)
    pem, alternates = read_certificate(context, chains, account, order.certificate_id, None)
    leaf, issuer = x509.load_pem_x509_certificates(pem.encode())
    assert (issuer, alternates) == (ordering.issuing.issuer, 0)
    leaf.verify_directly_issued_by(issuer)
    stranger = ordering.account()
    rest = ordering.issuing.issue("a.example.com")
    for who, certificate_id, alternate in (
        (stranger, order.certificate_id, None),
        (account, rest.certificate_id, None),
        (account, "f" * 64, None),
        (account, order.certificate_id, 0),
        (account, order.certificate_id, 1),
        (account, order.certificate_id, -1),
    ):
        error = refusal(read_certificate, context, chains, who, certificate_id, alternate)
        assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("ACME-UNKNOWN",))


def test_renewals_are_free_of_limits_once_they_are_due(ordering):
    """Before that they count, or an account could replace for ever what it has just got."""
    account = ordering.account()
    ordering.rules = replace(ordering.rules, settings=replace_limits(ordering, "2/30d"))
    old = make(ordering, account, *NAMES)
    early = make(ordering, account, *NAMES, replaces=name_of(ordering, old))
    error = refusal(ordering.order, account, *NAMES, replaces=name_of(ordering, early))
    assert error.rule_ids == ("ACME-LIMIT-ORDERS",)
    info = renewal_info(ordering.issuing.context, name_of(ordering, early))
    ordering.issuing.clock.advance(seconds=(info.start - ordering.issuing.clock.now()).total_seconds() - 1)
    spend_all(ordering, account)
    assert refusal(ordering.order, account, *NAMES, replaces=name_of(ordering, early)).rule_ids == (
        "ACME-LIMIT-ORDERS",
    )
    ordering.issuing.clock.advance(seconds=1)
    renewed = ordering.order(account, *NAMES, replaces=name_of(ordering, early))
    assert renewed.replaces == early.certificate_id


def replace_limits(ordering, orders_per_account):
    settings = ordering.rules.settings
    limits = settings.limits.model_copy(update={"orders_per_account": rate(orders_per_account)})
    return settings.model_copy(update={"limits": limits})


def rate(text):
    return AcmeLimits.model_validate({"orders_per_account": text}).orders_per_account


def spend_all(ordering, account):
    for _ in range(3):
        with contextlib.suppress(CaError):
            ordering.order(account, *NAMES)


def renewing(ordering, account):
    """A certificate whose time to be renewed has come, with every order of its account spent."""
    ordering.rules = replace(ordering.rules, settings=replace_limits(ordering, "2/30d"))
    old = make(ordering, account, *NAMES)
    info = renewal_info(ordering.issuing.context, name_of(ordering, old))
    ordering.issuing.clock.advance(seconds=(info.start - ordering.issuing.clock.now()).total_seconds())
    spend_all(ordering, account)
    return name_of(ordering, old)


def test_a_renewal_with_other_names_is_not_free(ordering):
    """Else one old certificate would open the door to any number of names."""
    account = ordering.account()
    old = renewing(ordering, account)
    error = refusal(ordering.order, account, NAMES[0], "other.example.com", replaces=old)
    assert error.rule_ids == ("ACME-LIMIT-ORDERS",)
    assert not ordering.order(account, NAMES[0], replaces=old).counted


def test_one_free_renewal_a_certificate_failed_ones_too(ordering):
    account = ordering.account()
    old = renewing(ordering, account)
    first = ordering.order(account, *NAMES, replaces=old)
    assert not first.counted
    fail_by_deactivation(ordering, account, first)
    assert refusal(ordering.order, account, *NAMES, replaces=old).rule_ids == ("ACME-LIMIT-ORDERS",)


def test_an_early_replacement_counts_against_its_names(ordering):
    account = ordering.account()
    old = make(ordering, account, *NAMES)
    early = ordering.order(account, *NAMES, replaces=name_of(ordering, old))
    assert early.counted
