"""Accounts: one for a key in a directory, made once by whoever comes first, and ended for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ca_server.core.acme.resources import Status
from ca_server.core.acme.settings import AcmeConfig
from ca_server.core.authorization import Role
from ca_server.core.errors import Kind
from ca_server.core.jose import parse_jwk
from ca_server.services.acme.account_oversight import revoke_account
from ca_server.services.acme.accounts import (
    KeyTaken,
    deactivate_account,
    find_account,
    find_account_by_key,
    principal_of,
    require_valid,
)
from ca_server.services.credentials import OPERATOR
from ca_server.services.revoke import revoke_certificate
from ca_server.store.accounts import replace_key
from tests.fixtures.acme_accounts import Accounts, refusal
from tests.fixtures.acme_keys import AccountKey, make_account_key

TERMS = "https://ca.test/terms"


def settings(**more):
    return AcmeConfig.model_validate({"caa_identities": ["ca.test"], **more})


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "RS256"])
def test_a_new_account_is_what_was_asked_for(accounts, algorithm):
    key = make_account_key(algorithm)
    made, created = accounts.create(key, contacts=("mailto:a@example.com",), terms_agreed=True)
    now = int(accounts.clock.now().timestamp())
    assert created
    assert (made.directory, made.status, made.thumbprint) == ("tls-server", Status.VALID, key.thumbprint)
    assert (made.jwk, made.contacts, made.binding) == (key.jwk, ("mailto:a@example.com",), None)
    assert (made.terms_agreed_at, made.created_at) == (now, now)
    assert find_account(accounts.context, "tls-server", made.id) == made
    assert find_account_by_key(accounts.context, "tls-server", key.thumbprint) == made
    event = accounts.events("account.created")[0]
    assert event["actor"] == {"auth": "acme", "id": f"account:{made.id}", "role": "requester"}
    assert event["data"] == {"account": made.id, "directory": "tls-server", "thumbprint": key.thumbprint}


def test_an_account_that_is_there_stays_as_it_is(accounts):
    """RFC 8555 §7.3: whatever else the request says is ignored."""
    key = make_account_key()
    made = accounts.account(key, contacts=("mailto:a@example.com",))
    accounts.settings = settings(terms_of_service=TERMS)
    again = accounts.create(key, contacts=("tel:1",), external_binding={"junk": 1})
    assert again == (made, False)
    assert len(accounts.events("account.created")) == 1


def test_directories_do_not_share_accounts(accounts):
    key = make_account_key()
    first, second = accounts.account(key), accounts.account(key, profile="tls-server-short")
    assert first.id != second.id
    error = refusal(find_account, accounts.context, "tls-server-short", first.id)
    assert (error.kind, error.rule_ids) == (Kind.UNAUTHENTICATED, ("ACME-ACCOUNT-UNKNOWN",))


@pytest.mark.parametrize("account_id", ["", "x", "%00", "0" * 500, "' OR 1=1 --"])
def test_an_unknown_account_is_unknown(accounts, account_id):
    error = refusal(find_account, accounts.context, "tls-server", account_id)
    assert (error.kind, error.rule_ids) == (Kind.UNAUTHENTICATED, ("ACME-ACCOUNT-UNKNOWN",))


def test_terms_are_agreed_to_where_there_are_any(accounts):
    accounts.settings = settings(terms_of_service=TERMS)
    error = refusal(accounts.create, make_account_key())
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-TERMS",))
    assert TERMS in error.detail
    assert accounts.create(make_account_key(), terms_agreed=True)[1]


def test_bad_contacts_are_all_told(accounts):
    error = refusal(accounts.create, make_account_key(), contacts=("tel:1", "mailto:a@b.test", "mailto:x"))
    assert error.kind is Kind.MALFORMED
    assert [(each.rule_id, each.pointer) for each in error.violations] == [
        ("ACME-CONTACT-SCHEME", "/contact/0"),
        ("ACME-CONTACT", "/contact/2"),
    ]


@pytest.mark.parametrize("end", ["owner", "officer"])
def test_whose_account_has_ended_gets_no_other_by_its_key(accounts, end):
    key = make_account_key()
    made = accounts.account(key)
    if end == "owner":
        ended = deactivate_account(accounts.context, made)
        actor = f"account:{made.id}"
    else:
        ended = revoke_account(accounts.context, OPERATOR, made.id)
        actor = OPERATOR.id
    assert ended.status is {"owner": Status.DEACTIVATED, "officer": Status.REVOKED}[end]
    leaf = accounts.events("account.deactivated")[0]
    assert (leaf["actor"]["id"], leaf["data"]["status"]) == (actor, ended.status.value)
    for call, *arguments in (
        (accounts.create, key),
        (require_valid, ended),
        (deactivate_account, accounts.context, made),
        (accounts.change_key, made, parse_jwk(make_account_key().jwk)),
    ):
        error = refusal(call, *arguments)
        assert (error.kind, error.rule_ids) == (Kind.UNAUTHENTICATED, ("ACME-ACCOUNT-ENDED",)), call
    error = refusal(accounts.update, made, ("mailto:a@b.test",))
    assert error.rule_ids == ("ACME-ACCOUNT-ENDED",)
    error = refusal(revoke_account, accounts.context, OPERATOR, made.id)
    assert (error.kind, error.rule_ids) == (Kind.CONFLICT, ("ACME-ACCOUNT-ENDED",))
    assert find_account(accounts.context, "tls-server", made.id) == ended


def test_an_update_changes_what_it_says_and_nothing_else(accounts):
    made = accounts.account(contacts=("mailto:a@b.test",))
    assert accounts.update(made, None) == made
    assert accounts.update(made, made.contacts) == made
    assert accounts.events("account.updated") == []
    changed = accounts.update(made, ("mailto:c@d.test", "mailto:e@f.test"), terms_agreed=True)
    assert changed.contacts == ("mailto:c@d.test", "mailto:e@f.test")
    assert changed.terms_agreed_at == made.created_at
    accounts.clock.advance(seconds=5)
    without = accounts.update(changed, (), terms_agreed=True)
    assert (without.contacts, without.terms_agreed_at) == ((), made.created_at)
    assert [leaf["data"] for leaf in accounts.events("account.updated")] == [
        {"account": made.id, "changed": ["contact", "termsOfServiceAgreed"]},
        {"account": made.id, "changed": ["contact"]},
    ]
    assert refusal(accounts.update, made, ("x",)).rule_ids == ("ACME-CONTACT",)


def test_a_new_key_takes_the_account_over(accounts):
    old, new = make_account_key(), make_account_key("EdDSA")
    made = accounts.account(old, contacts=("mailto:a@b.test",))
    changed = accounts.change_key(made, parse_jwk(new.jwk))
    assert (changed.id, changed.jwk, changed.thumbprint) == (made.id, new.jwk, new.thumbprint)
    assert changed.contacts == made.contacts
    assert find_account_by_key(accounts.context, "tls-server", old.thumbprint) is None
    assert accounts.events("account.key-changed")[0]["data"] == {
        "account": made.id,
        "previous": old.thumbprint,
        "thumbprint": new.thumbprint,
    }
    assert accounts.create(old)[1]


def test_a_key_that_has_an_account_is_told_which(accounts):
    one, other = make_account_key(), make_account_key()
    first, second = accounts.account(one), accounts.account(other)
    elsewhere = accounts.account(make_account_key(), profile="tls-server-short")
    for taken, owner in ((other, second), (one, first)):
        error = refusal(accounts.change_key, first, parse_jwk(taken.jwk))
        assert isinstance(error, KeyTaken)
        assert (error.kind, error.rule_ids) == (Kind.CONFLICT, ("ACME-KEY-TAKEN",))
        assert error.account_id == owner.id
    deactivate_account(accounts.context, second)
    assert refusal(accounts.change_key, first, parse_jwk(other.jwk)).account_id == second.id
    assert accounts.change_key(elsewhere, parse_jwk(other.jwk)).thumbprint == other.thumbprint


def race(count, call):
    """What each of so many calls at once gives: a value or an error."""

    def attempt(number):
        try:
            return call(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(attempt, range(count)))


def test_r37_of_all_who_register_one_key_at_once_one_makes_the_account(accounts):
    key = make_account_key()
    found = race(20, lambda _: accounts.create(key))
    assert {account.id for account, _ in found} == {found[0][0].id}
    assert [created for _, created in found].count(True) == 1
    assert len(accounts.events("account.created")) == 1


def test_the_loser_of_a_race_for_a_key_costs_no_limit(accounts):
    """Twenty requests of one key are one account, so the second key has its place."""
    accounts.settings = settings(limits={"accounts_per_address": "2/1h"})
    key = make_account_key()
    found = race(20, lambda _: accounts.create(key))
    assert not [each for each in found if isinstance(each, Exception)]
    assert accounts.create(make_account_key())[1]
    assert refusal(accounts.create, make_account_key()).rule_ids == ("ACME-LIMIT-ACCOUNTS",)


def test_r37_of_all_who_change_to_one_key_at_once_one_gets_it(accounts):
    holders = [accounts.account() for _ in range(10)]
    new = parse_jwk(make_account_key().jwk)
    found = race(10, lambda number: accounts.change_key(holders[number], new))
    winners = [each for each in found if not isinstance(each, Exception)]
    assert len(winners) == 1
    losers = [each for each in found if isinstance(each, Exception)]
    assert {type(each) for each in losers} == {KeyTaken}
    assert {each.account_id for each in losers} == {winners[0].id}


def test_of_two_new_keys_for_one_account_the_first_counts(accounts):
    made = accounts.account()
    first, second = (parse_jwk(make_account_key().jwk) for _ in range(2))
    accounts.change_key(made, first)
    error = refusal(accounts.change_key, made, second)
    assert (error.kind, error.rule_ids) == (Kind.UNAUTHENTICATED, ("ACME-ACCOUNT-ENDED",))
    with accounts.context.database.write() as unit:
        assert not replace_key(unit, made, second.thumbprint, second.members)
        unit.commit_unaudited("nothing was changed")


def test_an_address_makes_so_many_accounts(accounts):
    accounts.settings = settings(limits={"accounts_per_address": "3/1h"})
    for _ in range(3):
        accounts.account()
    error = refusal(accounts.create, make_account_key())
    assert (error.kind, error.rule_ids) == (Kind.RATE_LIMITED, ("ACME-LIMIT-ACCOUNTS",))
    assert error.retry_after == 1200
    assert accounts.create(make_account_key(), address="192.0.2.2")[1]
    assert accounts.create(make_account_key(), address="2001:db8::1")[1]
    accounts.clock.advance(seconds=1200)
    assert accounts.create(make_account_key())[1]
    assert len(accounts.events("account.created")) == 6


def test_where_no_client_has_an_address_none_shuts_out_the_others(accounts):
    """Behind a proxy on a unix socket all strangers look alike."""
    accounts.settings = settings(limits={"accounts_per_address": "1/1h"})
    for _ in range(3):
        assert accounts.create(make_account_key(), address="")[1]
    assert accounts.create(make_account_key())[1]
    assert refusal(accounts.create, make_account_key()).rule_ids == ("ACME-LIMIT-ACCOUNTS",)


def test_a_change_costs_an_account_as_much_as_an_order(accounts):
    """Each one stays in the log for ever, so nobody makes them without end; what changes nothing is free."""
    accounts.settings = settings(limits={"orders_per_account": "3/1h"})
    taken = make_account_key()
    made, other = accounts.account(), accounts.account(taken)
    made = accounts.update(made, ("mailto:a@b.test",))
    for _ in range(5):
        assert accounts.update(made, made.contacts) == made
        assert refusal(accounts.update, made, ("x",)).rule_ids == ("ACME-CONTACT",)
        assert isinstance(refusal(accounts.change_key, made, parse_jwk(taken.jwk)), KeyTaken)
    made = accounts.update(made, None, terms_agreed=True)
    made = accounts.change_key(made, parse_jwk(make_account_key().jwk))
    for error in (
        refusal(accounts.update, made, ()),
        refusal(accounts.change_key, made, parse_jwk(make_account_key().jwk)),
    ):
        assert (error.kind, error.rule_ids) == (Kind.RATE_LIMITED, ("ACME-LIMIT-ORDERS",))
        assert error.retry_after == 1200
    assert find_account(accounts.context, "tls-server", made.id) == made
    assert (len(accounts.events("account.updated")), len(accounts.events("account.key-changed"))) == (2, 1)
    assert accounts.update(other, ("mailto:c@d.test",)).contacts == ("mailto:c@d.test",)
    assert deactivate_account(accounts.context, made).status is Status.DEACTIVATED


def test_a_known_key_is_answered_whatever_its_address_has_spent(accounts):
    accounts.settings = settings(limits={"accounts_per_address": "1/1h"})
    key = make_account_key()
    made = accounts.account(key)
    assert accounts.create(key) == (made, False)


def test_r16_a_leaked_key_or_one_of_ours_is_no_account_key(issuing):
    made = Accounts(issuing.context, issuing.clock, issuing.policies)
    issued = issuing.issue("leaked.example.com")
    leaked = AccountKey("ES256", issuing.keys[issued.certificate_id])
    holder = made.account()
    revoke_certificate(issuing.context, OPERATOR, issued.certificate_id, "keyCompromise")
    for key, rule in ((leaked, "KEY-COMPROMISED"), (AccountKey("ES256", issuing.root_key), "KEY-OWN")):
        for error in (
            refusal(made.create, key),
            refusal(made.change_key, holder, parse_jwk(key.jwk)),
        ):
            assert (error.kind, error.rule_ids) == (Kind.BAD_PUBLIC_KEY, (rule,))
    assert len(made.events("account.created")) == 1


def test_an_account_without_a_binding_may_have_whatever_it_proves(accounts):
    principal = principal_of(accounts.account())
    assert (principal.role, principal.auth) == (Role.REQUESTER, "acme")
    assert (principal.profiles, principal.names) == (("*",), ("*",))
