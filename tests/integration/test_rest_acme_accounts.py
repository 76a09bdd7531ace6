"""Accounts and external account keys over REST: read by officers and auditors, changed by officers."""

from __future__ import annotations

import pytest

from ca_server.core.authorization import Role
from ca_server.core.base64url import decode_base64url
from tests.fixtures.acme_accounts import URL, Accounts
from tests.fixtures.acme_keys import make_account_key, make_binding

ACCOUNTS, KEYS = "/api/v1/acme-accounts", "/api/v1/external-account-keys"
BODY = {"owner": "team", "profiles": ["tls-*"], "names": ["dns:**.example.com"]}


@pytest.fixture
def made(issuing):
    return Accounts(issuing.context, issuing.clock, issuing.policies)


@pytest.fixture
def http(issuing):
    client = issuing.api().test_client()
    tokens = {role: issuing.token(role) for role in Role}

    def send(method, path, body=None, role=Role.OFFICER, token=None):
        headers = {"Authorization": f"Bearer {token or tokens[role]}"}
        return client.open(path, method=method, json=body, headers=headers)

    return send


def test_an_officer_hands_out_a_key_that_binds_an_account(made, http):
    response = http("POST", KEYS, {**BODY, "valid_days": 7, "max_uses": 2})
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    key = response.get_json()
    assert response.headers["Location"] == f"{KEYS}/{key['id']}"
    secret = decode_base64url(key.pop("hmac_key"))
    assert (key["owner"], key["profiles"], key["names"]) == tuple(BODY.values())
    assert (key["max_uses"], key["uses"], key["revoked_at"]) == (2, 0, None)
    assert (key["created_at"], key["not_after"]) == ("2027-03-01T12:00:00Z", "2027-03-08T12:00:00Z")

    assert http("GET", KEYS, role=Role.AUDITOR).get_json()["items"] == [key]

    account_key = make_account_key()
    binding = make_binding(key["id"], secret, account_key.jwk, URL)
    account = made.account(account_key, external_binding=binding)
    shown = http("GET", f"{ACCOUNTS}/{account.id}").get_json()
    assert shown["binding"] == {
        "external_account_key": key["id"],
        "owner": "team",
        "profiles": ["tls-*"],
        "names": ["dns:**.example.com"],
    }
    bound = http("GET", f"{ACCOUNTS}?external_account_key={key['id']}").get_json()["items"]
    assert [each["id"] for each in bound] == [account.id]


def test_a_key_is_ended_once(http):
    location = http("POST", KEYS, BODY).headers["Location"]
    assert http("DELETE", location).status_code == 204
    again = http("DELETE", location)
    assert (again.status_code, again.get_json()["rule_ids"]) == (404, ["ACME-EAB-UNKNOWN"])
    assert http("GET", KEYS).get_json()["items"][0]["revoked_at"] == "2027-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": ""},
        {"profiles": "tls-*"},
        {"names": []},
        {"names": ["example.com"]},
        {"valid_days": 0},
        {"valid_days": 401},
        {"valid_days": "7"},
        {"max_uses": 0},
        {"max_uses": True},
        {"hmac_key": "AAAA"},
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(http, changes):
    response = http("POST", KEYS, {**BODY, **changes})
    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"
    assert http("GET", KEYS).get_json()["items"] == []


def test_r29_a_narrow_officer_hands_out_no_wide_key(issuing, http):
    narrow = issuing.token(Role.OFFICER, profiles=("tls-*",), names=("dns:a.example.com",))
    response = http("POST", KEYS, BODY, token=narrow)
    assert (response.status_code, response.get_json()["rule_ids"]) == (403, ["ACCESS-GRANTOR"])
    assert response.get_json()["errors"][0]["pointer"] == "/names/0"


def test_an_officer_ends_an_account(made, http):
    account = made.account(contacts=("mailto:a@example.com",))
    path = f"{ACCOUNTS}/{account.id}"
    before = http("GET", path, role=Role.AUDITOR).get_json()
    assert before == {
        "id": account.id,
        "directory": "tls-server",
        "status": "valid",
        "key_thumbprint": account.thumbprint,
        "contacts": ["mailto:a@example.com"],
        "terms_agreed_at": None,
        "created_at": "2027-03-01T12:00:00Z",
        "binding": None,
    }
    assert http("POST", f"{path}/deactivation", {"reason": "x"}).status_code == 400
    ended = http("POST", f"{path}/deactivation", {})
    assert (ended.status_code, ended.get_json()) == (200, {**before, "status": "revoked"})
    again = http("POST", f"{path}/deactivation", {})
    assert (again.status_code, again.get_json()["rule_ids"]) == (409, ["ACME-ACCOUNT-ENDED"])
    unknown = http("POST", f"{ACCOUNTS}/{'0' * 8}-0000-0000-0000-{'0' * 12}/deactivation", {})
    assert (unknown.status_code, unknown.get_json()["rule_ids"]) == (404, ["ACME-UNKNOWN"])


def test_accounts_are_listed_in_pages_and_narrowed(made, http):
    ids = []
    for profile in ("tls-server", "tls-server-short", "tls-server"):
        ids.insert(0, made.account(profile=profile).id)
        made.clock.advance(seconds=1)
    http("POST", f"{ACCOUNTS}/{ids[0]}/deactivation", {})
    first = http("GET", f"{ACCOUNTS}?limit=2")
    assert 'rel="next"' in first.headers["Link"]
    cursor = first.get_json()["next_cursor"]
    last = http("GET", f"{ACCOUNTS}?limit=2&cursor={cursor}").get_json()
    assert [each["id"] for each in (*first.get_json()["items"], *last["items"])] == ids
    assert last["next_cursor"] is None
    for query, expected in (
        ("directory=tls-server", [ids[0], ids[2]]),
        ("status=valid", ids[1:]),
        ("status=revoked", ids[:1]),
        ("status=deactivated", []),
        ("directory=tls-server&status=valid", ids[2:]),
        (f"external_account_key=eab-{'0' * 32}", []),
    ):
        found = http("GET", f"{ACCOUNTS}?{query}").get_json()["items"]
        assert [each["id"] for each in found] == expected, query
    for query in ("status=ended", "directory=A", "external_account_key=1", "cursor=1", "limit=0", "x=1"):
        assert http("GET", f"{ACCOUNTS}?{query}").status_code == 400, query
