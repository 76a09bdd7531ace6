"""`/renewal-flags` and the end of a pause over REST, as an officer's tools use them."""

from __future__ import annotations

import pytest

from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.authorization import Role
from ca_server.core.identifiers import parse_identifier
from ca_server.services.acme.pausing import record_outcome
from tests.fakes.stored_accounts import store_account

LIMITS = AcmeLimits.model_validate({"pause_after_failures": 3, "pause_after": "1d"})


@pytest.fixture
def call(issuing):
    client = issuing.api().test_client()
    tokens = {role: issuing.token(role) for role in (Role.OFFICER, Role.AUDITOR)}

    def call(method, path, role=Role.OFFICER, **keywords):
        headers = {"Authorization": f"Bearer {tokens[role]}"}
        return client.open(f"/api/v1{path}", method=method, headers=headers, **keywords)

    return call


def test_a_flag_is_made_listed_and_ended(issuing, call):
    issued = issuing.issue("www.example.com")
    body = {"scope": "certificate", "subject": issued.certificate_id, "explanation_url": "https://ca.test/x"}
    made = call("POST", "/renewal-flags", json=body)
    assert made.status_code == 201
    flag = made.get_json()
    assert flag == {
        "id": made.headers["Location"].rpartition("/")[2],
        **body,
        "created_at": "2027-03-01T12:00:00Z",
        "ended_at": None,
    }
    issuing.clock.advance(seconds=1)
    call("POST", "/renewal-flags", json={"scope": "profile", "subject": "tls-server"})
    page = call("GET", "/renewal-flags?limit=1", Role.AUDITOR).get_json()
    assert [each["scope"] for each in page["items"]] == ["profile"]
    page = call("GET", f"/renewal-flags?cursor={page['next_cursor']}", Role.AUDITOR).get_json()
    assert (page["items"], page["next_cursor"]) == ([flag], None)
    assert call("DELETE", f"/renewal-flags/{flag['id']}").status_code == 204
    assert call("DELETE", f"/renewal-flags/{flag['id']}").status_code == 404
    [_, ended] = call("GET", "/renewal-flags").get_json()["items"]
    assert ended["ended_at"] == "2027-03-01T12:00:01Z"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": "certificate"},
        {"scope": "everything", "subject": "x"},
        {"scope": 1, "subject": "x"},
        {"scope": "profile", "subject": ""},
        {"scope": "profile", "subject": "a\x00b"},
        {"scope": "profile", "subject": "tls-server", "explanation_url": "javascript:alert(1)"},
        {"scope": "profile", "subject": "tls-server", "explanation_url": "https://a b"},
        {"scope": "profile", "subject": "tls-server", "more": 1},
    ],
)
def test_what_is_no_flag_is_refused(call, body):
    response = call("POST", "/renewal-flags", json=body)
    assert (response.status_code, response.get_json()["rule_ids"]) == (400, ["REST-SCHEMA"])


def test_what_there_is_not_is_not_flagged(call):
    response = call("POST", "/renewal-flags", json={"scope": "authority", "subject": "nobody"})
    assert (response.status_code, response.get_json()["rule_ids"]) == (404, ["ACME-FLAG-SUBJECT"])


def test_a_pause_is_ended_for_one_name_or_for_all(issuing, call):
    account = store_account(issuing.context).id
    for days in (0, 0, 1):
        issuing.clock.advance(days=days)
        for name in ("dns:a.example.com", "dns:b.example.com", "ip:192.0.2.1"):
            with issuing.context.database.write() as unit:
                identifier = parse_identifier(name)
                events = record_outcome(issuing.context, unit, LIMITS, account, identifier, ok=False)
                if events:
                    unit.commit(*events)
                else:
                    unit.commit_unaudited("a test")
    path = f"/acme-accounts/{account}/unpause"
    first = call("POST", path, json={"name": "dns:b.example.com"})
    assert (first.status_code, first.get_json()) == (200, {"names": ["dns:b.example.com"]})
    rest = call("POST", path, json={})
    assert rest.get_json() == {"names": ["dns:a.example.com", "ip:192.0.2.1"]}
    again = call("POST", path, json={})
    assert (again.status_code, again.get_json()["rule_ids"]) == (404, ["ACME-NOT-PAUSED"])
    assert call("POST", path, Role.AUDITOR, json={}).status_code == 403
