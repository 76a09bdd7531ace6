"""Accounts: made, read, changed, given another key, ended (RFC 8555 §7.3)."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from ca_server.acme import requests
from ca_server.acme.payloads import AccountPayload, KeyChangePayload, NewAccountPayload, read_payload
from ca_server.acme.problems import problem_of
from ca_server.acme.replies import account_view, add_link, reply
from ca_server.acme.requests import account_url, payload, signed
from ca_server.acme.services import services
from ca_server.acme.urls import ROOT, IdConverter, directory, unknown
from ca_server.core.acme.resources import Account
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.jose import Jwk, parse_jwk, parse_jws_object, verify
from ca_server.core.strict_json import parse_json
from ca_server.services.acme import accounts
from ca_server.services.acme.accounts import KeyTaken, NewAccount
from ca_server.services.acme.orders import list_orders as list_order_ids

PAGE = 100

blueprint = Blueprint("accounts", __name__, url_prefix=ROOT)


@blueprint.post("/new-account")
def new_account() -> Response:
    """An account for this key, or the one that it has."""
    held, asked = services(), read_payload(NewAccountPayload, payload())
    known = directory()
    jwk = signed().jwk
    if asked.only_existing:
        found = accounts.find_account_by_key(held.context, known.profile.name, jwk.thumbprint)
        if found is None:
            raise refuse(Kind.UNAUTHENTICATED, "ACME-ACCOUNT-UNKNOWN", "this key has no account here")
        accounts.require_valid(found)
        created = False
    else:
        new = NewAccount(
            contacts=tuple(asked.contact or ()),
            terms_agreed=asked.terms_agreed,
            external_binding=asked.external_binding,
            url=known.url("new-account"),
        )
        found, created = accounts.create_account(
            held.context, held.settings, known.profile, jwk, new, request.remote_addr or ""
        )
    body = account_view(found)
    if created and asked.external_binding is not None:
        # As it was sent (§7.3.4).
        body["externalAccountBinding"] = asked.external_binding
    return reply(body, 201 if created else 200, location=account_url(found))


@blueprint.post("/account/<id:account_id>")
def account(account_id: str) -> Response:
    """The account itself, changed first where a change was sent; nobody sees another's."""
    found = _own(account_id)
    changes = signed().payload
    if changes is not None:
        found = _change(found, read_payload(AccountPayload, changes))
    return reply(account_view(found))


@blueprint.post("/account/<id:account_id>/orders")
def list_orders(account_id: str) -> Response:
    """The account's orders, a page at a time (§7.1.2.1)."""
    found = _own(account_id)
    after = request.args.get("cursor")
    if after is not None and not re.fullmatch(IdConverter.regex, after):
        raise unknown("page of orders")
    ids = list_order_ids(services().context, found, after=after, limit=PAGE + 1)
    known = directory()
    response = reply({"orders": [known.url("order", each) for each in ids[:PAGE]]})
    if len(ids) > PAGE:
        next_page = known.url("account", found.id, f"orders?cursor={ids[PAGE - 1]}")
        add_link(response, next_page, "next")
    return response


@blueprint.post("/key-change")
def key_change() -> Response:
    """Another key for the account: the new one signs too, so that nobody claims a key that is not theirs."""
    held = services()
    try:
        changed = accounts.change_key(held.context, held.settings.limits, requests.account(), _new_key())
    except KeyTaken as error:
        response = problem_of(error)
        response.headers["Location"] = directory().url("account", error.account_id)
        return response
    return reply(account_view(changed), location=account_url(changed))


def _own(account_id: str) -> Account:
    found = requests.account()
    if found.id != account_id:
        raise refuse(Kind.FORBIDDEN, "ACME-ACCOUNT-OTHER", "an account is seen and changed by itself alone")
    return found


def _change(found: Account, changes: AccountPayload) -> Account:
    held = services()
    if changes.status == "deactivated":
        return accounts.deactivate_account(held.context, found)
    contacts = None if changes.contact is None else tuple(changes.contact)
    return accounts.update_account(
        held.context, held.settings.limits, found, contacts, terms_agreed=changes.terms_agreed
    )


def _new_key() -> Jwk:
    """The key that signed the inner JWS, after all that §7.3.5 wants to have checked."""
    inner = parse_jws_object(dict(payload()))
    if inner.jwk is None or inner.nonce is not None:
        raise _bad_change("the inner JWS has the new key as jwk, and no nonce")
    if inner.url != directory().url("key-change"):
        raise _bad_change("the inner JWS has another url than the outer")
    new = parse_jwk(inner.jwk)
    data = verify(inner, new)
    try:
        value = parse_json(data)
    except ValueError as error:
        raise _bad_change("the inner payload is not JSON") from error
    if not isinstance(value, dict):
        raise _bad_change("the inner payload is not a JSON object")
    asked = read_payload(KeyChangePayload, value)
    found = requests.account()
    if asked.account != account_url(found):
        raise _bad_change("account is not the account that signs")
    if parse_jwk(asked.old_key).members != signed().jwk.members:
        raise _bad_change("oldKey is not the key of the account")
    return new


def _bad_change(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-KEY-CHANGE", detail)
