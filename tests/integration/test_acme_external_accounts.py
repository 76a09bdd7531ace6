"""External account keys: as many accounts as they have uses, all within their patterns, until they end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from ca_server.core.acme.resources import Status
from ca_server.core.authorization import Principal, Role
from ca_server.core.base64url import decode_base64url
from ca_server.core.errors import Kind
from ca_server.services.acme.accounts import principal_of, require_may_order
from ca_server.services.acme.external_accounts import (
    NewExternalAccountKey,
    create_external_account_key,
    forget_ended_keys,
    list_external_account_keys,
    revoke_external_account_key,
)
from ca_server.services.credentials import OPERATOR
from tests.fixtures.acme_accounts import URL, Accounts, refusal
from tests.fixtures.acme_keys import b64, make_account_key, make_binding
from tests.fixtures.ordering import csr_for
from tests.integration.test_acme_accounts import race

NEW = NewExternalAccountKey("team", ("tls-*",), ("dns:**.example.com",), timedelta(days=30), 3)
SECRET = "SELECT hmac_key FROM external_account_key WHERE id = :key"
EAB = "tls-server-eab"


def test_a_bound_account_knows_by_what(accounts):
    account, key = accounts.bound(owner="team red", profiles=("tls-*",), names=("dns:**.red.test",))
    assert account.binding is not None
    assert (account.binding.key_id, account.binding.owner) == (key.id, "team red")
    principal = principal_of(account)
    assert (principal.profiles, principal.names) == (("tls-*",), ("dns:**.red.test",))
    assert accounts.events("account.created")[0]["data"]["external_account_key"] == key.id


def test_an_account_needs_a_binding_where_the_profile_says_so(accounts):
    error = refusal(accounts.create, make_account_key(), profile=EAB)
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-EAB-REQUIRED",))
    external, key = accounts.external_key(), make_account_key()
    url = URL.replace("tls-server", EAB)
    binding = accounts.binding(external, key, url)
    account = accounts.account(key, profile=EAB, url=url, external_binding=binding)
    assert account.binding is not None


def test_r29_a_binding_is_checked_where_none_is_needed_too(accounts):
    key = make_account_key()
    forged = make_binding("eab-0", b"x" * 32, key.jwk, URL)
    assert refusal(accounts.create, key, external_binding=forged).rule_ids == ("ACME-EAB-SIGNATURE",)


def test_nothing_tells_a_wrong_key_from_one_that_is_not_in_force(accounts):
    """Unknown, revoked, ended, used up, or wrong: one answer, word for word."""
    used_up, revoked, ended = (accounts.external_key() for _ in range(3))
    good = accounts.external_key(valid=timedelta(days=30))
    first = make_account_key()
    accounts.account(first, external_binding=accounts.binding(used_up, first))
    revoke_external_account_key(accounts.context, OPERATOR, revoked[0].id)
    accounts.clock.advance(days=1, seconds=1)
    said = set()
    for external in (
        used_up,
        revoked,
        ended,
        (good[0], b"x" * 32),
        (good[0], b""),
        (replace(good[0], id="eab-unknown"), good[1]),
        (replace(good[0], id="' OR 1=1 --"), good[1]),
    ):
        key = make_account_key()
        error = refusal(accounts.create, key, external_binding=accounts.binding(external, key))
        said.add((error.kind, error.rule_ids, error.detail))
    assert {rules for _, rules, _ in said} == {("ACME-EAB-SIGNATURE",)}
    assert len(said) == 1
    assert accounts.value("SELECT uses FROM external_account_key WHERE id = :key", key=good[0].id) == 0


def test_a_binding_is_for_this_key_at_this_url(accounts):
    external, mine, other = accounts.external_key(), make_account_key(), make_account_key()
    for binding in (
        accounts.binding(external, other),
        accounts.binding(external, mine, URL + "/"),
        accounts.binding(external, mine, URL.replace("tls-server", EAB)),
        make_binding(external[0].id, external[1], {**mine.jwk, "d": "AA"}, URL),
        make_binding(external[0].id, external[1], mine.jwk, URL, nonce="AAAA"),
        make_binding(external[0].id, external[1], mine.jwk, URL, alg="none"),
        {**accounts.binding(external, mine), "signature": ""},
        {**accounts.binding(external, mine), "header": {}},
        {"protected": b64(b"{}"), "payload": "", "signature": ""},
        {},
    ):
        error = refusal(accounts.create, mine, external_binding=binding)
        assert error.kind in {Kind.MALFORMED, Kind.UNAUTHENTICATED, Kind.BAD_PUBLIC_KEY}
        assert error.rule_ids[0] in {"ACME-JWS", "ACME-ALGORITHM", "ACME-EAB-SIGNATURE", "ACME-JWK"}
    assert accounts.events("account.created") == []
    assert accounts.account(mine, external_binding=accounts.binding(external, mine)).binding is not None


@pytest.mark.parametrize("uses", [1, 3])
def test_r37_of_twenty_who_use_a_key_at_once_as_many_pass_as_it_has_uses(accounts, uses):
    external = accounts.external_key(max_uses=uses)
    keys = [make_account_key() for _ in range(20)]
    bindings = [accounts.binding(external, key) for key in keys]
    found = race(20, lambda number: accounts.create(keys[number], external_binding=bindings[number]))
    refused = [each for each in found if isinstance(each, Exception)]
    assert len(refused) == 20 - uses
    assert {each.rule_ids for each in refused} == {("ACME-EAB-SIGNATURE",)}
    assert accounts.value("SELECT count(*) FROM acme_account") == uses
    assert accounts.value("SELECT uses FROM external_account_key") == uses
    assert accounts.value(SECRET, key=external[0].id) is None


def test_one_request_sent_twenty_times_uses_a_key_once(accounts):
    external, key = accounts.external_key(), make_account_key()
    binding = accounts.binding(external, key)
    found = race(20, lambda _: accounts.create(key, external_binding=binding))
    assert not [each for each in found if isinstance(each, Exception)]
    assert [created for _, created in found].count(True) == 1


def test_an_account_that_is_not_made_uses_no_key(accounts):
    accounts.settings = accounts.settings.model_copy(
        update={"limits": accounts.settings.limits.model_validate({"accounts_per_address": "1/1h"})}
    )
    accounts.account()
    external, key = accounts.external_key(), make_account_key()
    binding = accounts.binding(external, key)
    assert refusal(accounts.create, key, external_binding=binding).rule_ids == ("ACME-LIMIT-ACCOUNTS",)
    assert accounts.account(key, address="192.0.2.9", external_binding=binding).binding is not None


def may_order(accounts, account, profile="tls-server"):
    require_may_order(accounts.context, account, accounts.profile(profile))


def test_a_bound_account_orders_what_its_key_allows(accounts):
    account, _ = accounts.bound(profiles=("tls-server", "tls-server-e*"))
    may_order(accounts, account)
    may_order(accounts, account, EAB)
    error = refusal(may_order, accounts, account, "tls-server-short")
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-BINDING-PROFILE",))


def test_an_unbound_account_orders_what_needs_no_binding(accounts):
    account = accounts.account()
    may_order(accounts, account)
    error = refusal(may_order, accounts, account, EAB)
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-EAB-REQUIRED",))


def test_a_key_taken_back_stops_its_accounts_and_one_that_ends_does_not(accounts):
    account, _ = accounts.bound()
    other, other_key = accounts.bound()
    revoke_external_account_key(accounts.context, OPERATOR, other_key.id)
    error = refusal(may_order, accounts, other)
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-BINDING-REVOKED",))
    assert "was revoked at 2027-03-01T12:00:00Z" in error.detail
    accounts.clock.advance(days=400)
    may_order(accounts, account)


def test_r17_a_bound_account_gets_no_name_that_its_key_does_not_allow(ordering):
    accounts = Accounts(ordering.issuing.context, ordering.issuing.clock, ordering.rules.policies)
    account, _ = accounts.bound(names=("dns:**.red.test",))
    error = refusal(ordering.order, account, "www.red.test", "www.blue.test", "red.test")
    assert error.kind is Kind.REJECTED_IDENTIFIER
    assert [(each.rule_id, each.pointer) for each in error.violations] == [
        ("ACME-BINDING", "/identifiers/1"),
        ("ACME-BINDING", "/identifiers/2"),
    ]


def test_r25_a_key_that_is_revoked_stops_orders_that_are_ready(ordering):
    """What was allowed when the order was made is asked again when it is finalized."""
    accounts = Accounts(ordering.issuing.context, ordering.issuing.clock, ordering.rules.policies)
    account, key = accounts.bound(names=("dns:**.red.test",))
    first, second = (ordering.prove(account, ordering.order(account, "www.red.test")) for _ in range(2))
    assert ordering.finalize(account, first, csr_for("www.red.test")).status is Status.VALID
    revoke_external_account_key(accounts.context, OPERATOR, key.id)
    error = refusal(ordering.finalize, account, second, csr_for("www.red.test"))
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-BINDING-REVOKED",))


def test_a_key_is_made_as_it_was_asked_for(accounts):
    key, secret = create_external_account_key(accounts.context, OPERATOR, NEW)
    assert (key.owner, key.profiles, key.names) == ("team", ("tls-*",), ("dns:**.example.com",))
    assert (key.max_uses, key.uses, key.revoked_at) == (3, 0, None)
    assert key.not_after - key.created_at == 30 * 86_400
    assert len(decode_base64url(secret) or b"") == 32
    assert accounts.events("eab.created")[0]["data"] == {
        "external_account_key": key.id,
        "owner": "team",
        "profiles": ["tls-*"],
        "names": ["dns:**.example.com"],
        "max_uses": 3,
        "not_after": key.not_after,
    }


@pytest.mark.parametrize(
    ("changes", "rule", "pointer"),
    [
        ({"owner": ""}, "ACCESS-NEW-NAME", "/owner"),
        ({"owner": "a\nb"}, "ACCESS-NEW-NAME", "/owner"),
        ({"valid": timedelta(0)}, "ACCESS-NEW-VALIDITY", "/valid_days"),
        ({"valid": timedelta(days=401)}, "ACCESS-NEW-VALIDITY", "/valid_days"),
        ({"max_uses": 0}, "ACME-EAB-NEW", "/max_uses"),
        ({"max_uses": 1_000_001}, "ACME-EAB-NEW", "/max_uses"),
        ({"profiles": ()}, "ACME-EAB-NEW", "/profiles"),
        ({"names": ()}, "ACME-EAB-NEW", "/names"),
        ({"profiles": ("tls", "TLS!")}, "ACCESS-NEW-PROFILE", "/profiles/1"),
        ({"names": ("dns:a.test", "example.com")}, "NAME-PATTERN", "/names/1"),
        ({"names": ("dns:a.test",) * 101}, "ACCESS-NEW-PATTERNS", "/names"),
        ({"names": (f"dns:{'a' * 60}.test",) * 100}, "ACCESS-NEW-PATTERNS", "/names"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(accounts, changes, rule, pointer):
    error = refusal(create_external_account_key, accounts.context, OPERATOR, replace(NEW, **changes))
    assert error.kind is Kind.MALFORMED
    assert [(each.rule_id, each.pointer) for each in error.violations] == [(rule, pointer)]
    assert accounts.events("eab.created") == []


def test_the_longest_lists_of_patterns_fit_into_their_event(accounts):
    most = tuple(f"dns:{'a' * 40}.{number:02}t" for number in range(100))
    create_external_account_key(
        accounts.context, OPERATOR, replace(NEW, names=most, profiles=("p" * 50,) * 100)
    )
    assert len(accounts.events("eab.created")) == 1


def officer(*, profiles=("tls-*",), names=("dns:**.example.com",), role=Role.OFFICER):
    return Principal("token:1", role, "token", profiles, names)


def test_r29_an_officer_grants_by_a_key_what_they_hold(accounts):
    create_external_account_key(accounts.context, officer(), NEW)
    for grantor, pointers in (
        (officer(profiles=("tls-server",)), ["/profiles/0"]),
        (officer(names=()), ["/names/0"]),
        (officer(profiles=(), names=("dns:a.example.com",)), ["/profiles/0", "/names/0"]),
    ):
        error = refusal(create_external_account_key, accounts.context, grantor, NEW)
        assert (error.kind, set(error.rule_ids)) == (Kind.FORBIDDEN, {"ACCESS-GRANTOR"})
        assert [each.pointer for each in error.violations] == pointers


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.REQUESTER])
def test_r21_who_is_no_officer_changes_no_key(accounts, role):
    key, _ = accounts.external_key()
    nobody = officer(role=role, profiles=("*",), names=("*",))
    for call, *arguments in (
        (create_external_account_key, accounts.context, nobody, NEW),
        (revoke_external_account_key, accounts.context, nobody, key.id),
    ):
        assert refusal(call, *arguments).rule_ids == ("ACCESS-ROLE",)


def test_a_key_is_revoked_once(accounts):
    key, _ = accounts.external_key()
    revoke_external_account_key(accounts.context, OPERATOR, key.id)
    assert accounts.value(SECRET, key=key.id) is None
    for unknown in (key.id, "eab-unknown"):
        error = refusal(revoke_external_account_key, accounts.context, OPERATOR, unknown)
        assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("ACME-EAB-UNKNOWN",))
    assert [leaf["data"]["external_account_key"] for leaf in accounts.events("eab.revoked")] == [key.id]


def test_keys_are_listed_newest_first_in_pages(accounts):
    made = []
    for _ in range(3):
        made.insert(0, accounts.external_key()[0].id)
        accounts.clock.advance(seconds=1)
    page = list_external_account_keys(accounts.context, OPERATOR, before=None, limit=2)
    rest = list_external_account_keys(accounts.context, OPERATOR, before=page[-1].id, limit=2)
    assert [each.id for each in (*page, *rest)] == made


def test_r23_a_secret_is_kept_no_longer_than_it_opens_something(accounts):
    lasting = accounts.external_key(valid=timedelta(days=30))
    ended = accounts.external_key()
    assert forget_ended_keys(accounts.context) == 0
    accounts.clock.advance(days=1)
    assert forget_ended_keys(accounts.context) == 0
    accounts.clock.advance(seconds=1)
    assert forget_ended_keys(accounts.context) == 1
    assert forget_ended_keys(accounts.context) == 0
    assert accounts.value(SECRET, key=ended[0].id) is None
    assert accounts.value(SECRET, key=lasting[0].id) is not None


def test_r23_no_event_holds_a_secret(accounts):
    external, key = accounts.external_key(), make_account_key()
    accounts.account(key, external_binding=accounts.binding(external, key))
    with accounts.context.database.read() as connection:
        bodies = connection.execute(text("SELECT body FROM audit_event")).scalars().all()
    log = json.dumps([bytes(body).decode() for body in bodies])
    assert b64(external[1]) not in log
    assert external[1].hex() not in log


def test_no_secret_looks_like_an_option_to_a_command_line(accounts, monkeypatch):
    """certbot takes `--eab-hmac-key -x…` for an option without its argument."""
    from ca_server.services.acme import external_accounts

    drawn = iter([b"\xf8" * 32, b"\xfb" * 32, b"\x01" * 32])
    monkeypatch.setattr(external_accounts.secrets, "token_bytes", lambda _count: next(drawn))
    _, secret = create_external_account_key(accounts.context, OPERATOR, NEW)
    assert decode_base64url(secret) == b"\x01" * 32
