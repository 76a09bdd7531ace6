"""Why an order failed: one line after another, for officers over REST and on the command line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from ca_server.core.acme.resources import Account, Problem, Status
from ca_server.core.audit.record import Actor
from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.core.jose import parse_jwk
from ca_server.services.acme.accounts import NewAccount, create_account, deactivate_account
from ca_server.services.acme.authorizations import respond
from ca_server.services.acme.external_accounts import NewExternalAccountKey, create_external_account_key
from ca_server.services.acme.finalize import finalize
from ca_server.services.acme.timeline import read_timeline, search_orders
from ca_server.services.credentials import OPERATOR
from ca_server.store import validations
from ca_server.store.validations import Attempt
from tests.fixtures.acme_keys import make_account_key, make_binding
from tests.fixtures.commands import sealkeeper
from tests.fixtures.ordering import SETTINGS, URL, csr_for

AUDITOR = Principal("token:auditor", Role.AUDITOR, "token")


def _attempt(ordering, account, authorization, outcome: str, problem: Problem | None) -> None:
    """One attempt as a worker stores it."""
    context = ordering.issuing.context
    challenge = authorization.challenges[0]
    respond(context, account, challenge.id, f"{URL}{account.id}")
    now = to_epoch(context.clock.now())
    data = {
        "account": account.id,
        "authorization": authorization.id,
        "challenge": challenge.id,
        "identifier": str(authorization.identifier),
        "type": challenge.type.value,
        "error": "dns",
    }
    event = context.event("validation.failed", Actor("process:worker", "process", "system"), data)
    attempt = Attempt(
        outcome,
        now,
        problem,
        {"notes": [{"step": "dns", "question": "TXT"}]},
        None if outcome == "retry" else event.event_id,
    )
    with context.database.write() as unit:
        task = validations.read_validation_task(unit.connection, challenge.id, now)
        assert task is not None
        assert validations.record_attempt(unit, task, attempt)
        if outcome == "retry":
            unit.commit_unaudited("tried again")
        else:
            unit.commit(event)


def test_a_failed_order_says_what_was_tried_and_what_came_back(ordering):
    account = ordering.account()
    order = ordering.order(account, "a.example.com", "b.example.com")
    [first, _] = ordering.authorizations(account, order)
    problem = Problem("dns", "no TXT record there")
    _attempt(ordering, account, first, "retry", problem)
    ordering.issuing.clock.advance(seconds=2)
    _attempt(ordering, account, first, "failure", problem)
    found = read_timeline(ordering.issuing.context, AUDITOR, order.id)
    texts = [each.text for each in found.entries]
    name = first.identifier.value
    assert texts[0] == "ordered a.example.com, b.example.com with the profile tls-server"
    failed = [text for text in texts if f"{name}: dns-01 failed (dns): no TXT record there" in text]
    assert ["tried again" in text for text in failed] == [True, False]
    assert failed[0].splitlines()[1] == '    dns question="TXT"'
    assert texts[-1] == f"invalid: {name} is invalid"
    assert [each.at for each in found.entries] == sorted(each.at for each in found.entries)


def test_a_refused_csr_stands_in_the_story_and_so_does_the_certificate(ordering):
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    with pytest.raises(CaError):
        ordering.finalize(account, order, csr_for("c.example.com"))
    done = ordering.finalize(account, order, csr_for("a.example.com"))
    texts = [each.text for each in read_timeline(ordering.issuing.context, AUDITOR, order.id).entries]
    assert any("finalize was refused" in text and "NAME-UNAUTHORIZED" in text for text in texts)
    assert any("a certificate was issued" in text for text in texts)
    assert texts[-1] == f"valid, with certificate {done.certificate_id}"


def test_what_never_reached_the_gate_is_told_too(ordering):
    """A CSR that cannot be read, or is for the account's own key, and an account that has ended."""
    context, account = ordering.issuing.context, ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    with pytest.raises(CaError):
        finalize(ordering.completion, account, f"{URL}{account.id}", order.id, b"0123")
    texts = [each.text for each in read_timeline(context, AUDITOR, order.id).entries]
    assert any("finalize was refused" in text and "CSR-ENCODING" in text for text in texts)
    deactivate_account(context, account)
    last = read_timeline(context, AUDITOR, order.id).entries[-1].text
    assert last == "cancelled: the account is deactivated"


def test_an_order_says_what_it_waits_for(ordering):
    context, account = ordering.issuing.context, ordering.account()
    order = ordering.order(account, "*.example.com")
    assert read_timeline(context, AUDITOR, order.id).entries[-1].text == (
        "pending: the client has yet to prove *.example.com"
    )
    ordering.prove(account, order)
    last = read_timeline(context, AUDITOR, order.id).entries[-1].text
    assert last == "ready: every name is proven; the client has yet to finalize"
    ordering.issuing.clock.advance(seconds=1)
    again = ordering.order(account, "*.example.com")
    assert "an earlier authorization counts" in read_timeline(context, AUDITOR, again.id).entries[1].text
    ordering.issuing.clock.advance(days=2)
    assert "invalid: it expired at" in read_timeline(context, AUDITOR, order.id).entries[-1].text


def test_a_requester_sees_no_orders_here(ordering):
    requester = Principal("token:requester", Role.REQUESTER, "token")
    context = ordering.issuing.context
    with pytest.raises(CaError) as caught:
        search_orders(context, requester, account_id=None, before=None, limit=1)
    assert caught.value.kind is Kind.FORBIDDEN
    with pytest.raises(CaError) as caught:
        read_timeline(context, AUDITOR, "00000000-0000-7000-8000-000000000000")
    assert caught.value.rule_ids == ("ACME-UNKNOWN",)


def test_orders_are_listed_by_page_and_account_over_rest(ordering):
    account, other = ordering.account(), ordering.account()
    made = [ordering.order(account, f"{each}.example.com").id for each in "abc"]
    ordering.order(other, "d.example.com")
    client = ordering.issuing.api().test_client()
    headers = {"Authorization": f"Bearer {ordering.issuing.token(Role.OFFICER)}"}
    path = f"/api/v1/acme-orders?account={account.id}&limit=2"
    page = client.get(path, headers=headers).get_json()
    rest = client.get(f"{path}&cursor={page['next_cursor']}", headers=headers).get_json()
    assert {each["id"] for each in page["items"] + rest["items"]} == set(made)
    assert rest["next_cursor"] is None
    shown = client.get(f"/api/v1/acme-orders/{made[0]}", headers=headers).get_json()
    assert shown["status"] == "pending"
    assert shown["timeline"][0]["text"].startswith("ordered a.example.com")


def test_a_bound_account_orders_within_its_binding_only(ordering):
    """ACME-BINDING: the external account key's names hold at every order."""
    context = ordering.issuing.context
    new = NewExternalAccountKey("team", ("tls-*",), ("dns:*.red.test",), timedelta(days=1))
    external, secret = create_external_account_key(context, OPERATOR, new)
    account = _bound(ordering, external.id, secret)
    assert ordering.order(account, "a.red.test").status is Status.PENDING
    with pytest.raises(CaError) as caught:
        ordering.order(account, "a.red.test", "a.blue.test")
    assert [(each.rule_id, each.pointer) for each in caught.value.violations] == [
        ("ACME-BINDING", "/identifiers/1")
    ]


def _bound(ordering, key_id: str, secret: str) -> Account:
    import base64

    key = make_account_key()
    url = f"{URL}new"
    hmac_key = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    binding = make_binding(key_id, hmac_key, key.jwk, url)
    new = NewAccount((), terms_agreed=False, external_binding=binding, url=url)
    profile = ordering.rules.policies.profile("tls-server")
    account, _ = create_account(
        ordering.issuing.context, SETTINGS, profile, parse_jwk(key.jwk), new, "192.0.2.1"
    )
    return account


def test_the_command_line_lists_orders_and_tells_of_one_that_there_is_not(appliance):
    config = ("--config", str(appliance.config_file))
    assert json.loads(sealkeeper("acme", "order", "list", "--json", *config).stdout) == []
    unknown = "00000000-0000-7000-8000-000000000000"
    done = sealkeeper("acme", "order", "show", unknown, *config, check=False)
    assert (done.returncode, "ACME-UNKNOWN" in done.stderr) == (1, True)
