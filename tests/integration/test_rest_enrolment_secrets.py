"""`/enrolment-secrets`: officers make and end what devices enrol by; a secret is shown once and not kept."""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlalchemy import text

from ca_server.core.authorization import Role
from ca_server.store.unit_of_work import BrokenRule
from tests.fixtures.enrolling import csr_for
from tests.integration.test_access import events

URL = "/api/v1/enrolment-secrets"
NEW = {"owner": "team red", "profile": "tls-peer", "names": ["dns:**.red.test"]}


@pytest.fixture
def ask(issuing):
    """Ask as somebody of a role."""
    client = issuing.api().test_client()
    tokens = {role: issuing.token(role) for role in Role}

    def ask(method, path="", role=Role.OFFICER, token=None, **more):
        headers = {"Authorization": f"Bearer {token or tokens[role]}"}
        return client.open(f"{URL}{path}", method=method, headers=headers, **more)

    return ask


def test_a_secret_is_shown_once_and_enrols(ask, enrolling):
    made = ask("POST", json=NEW)
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.headers["Location"] == f"{URL}/{made.json['id']}"
    secret = made.json["secret"]
    assert secret.startswith("sk_")
    enrolling.enrol(csr_for("a.red.test"), secret=(made.json["id"], secret))
    (listed,) = ask("GET").json["items"]
    assert (listed["uses"], listed["max_uses"], listed["revoked_at"]) == (1, 1, None)
    assert "secret" not in listed
    with enrolling.issuing.context.database.read() as connection:
        (row,) = connection.execute(text("SELECT * FROM enrolment_secret")).mappings()
    assert row["digest"] == hashlib.sha256(secret.encode()).hexdigest()
    told = json.dumps([dict(row), events(enrolling.issuing)], default=str)
    assert secret not in told
    (event,) = events(enrolling.issuing, "secret.created")
    assert event["data"]["names"] == NEW["names"]


def test_a_secret_is_ended_once(ask, enrolling):
    made = ask("POST", json=NEW).json
    assert ask("DELETE", f"/{made['id']}").status_code == 204
    again = ask("DELETE", f"/{made['id']}")
    assert (again.status_code, again.json["rule_ids"][0]) == (404, "EST-SECRET-UNKNOWN")
    assert enrolling.refused(csr_for("a.red.test"), secret=(made["id"], made["secret"]))[1] == ("EST-SECRET",)
    assert ask("GET").json["items"][0]["revoked_at"] is not None
    assert len(events(enrolling.issuing, "secret.revoked")) == 1


def test_secrets_are_listed_in_pages(ask, issuing):
    made = []
    for number in range(3):
        made.append(ask("POST", json={**NEW, "owner": f"team {number}"}).json["id"])
        issuing.clock.advance(seconds=1)
    first = ask("GET", "?limit=2").json
    second = ask("GET", f"?limit=2&cursor={first['next_cursor']}").json
    assert [each["id"] for each in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"profile": "code-signing"}, "EST-SECRET-NEW"),
        ({"names": []}, "EST-SECRET-NEW"),
        ({"names": ["www.red.test"]}, "NAME-PATTERN"),
        ({"profile": "nothing"}, "PROFILE-UNKNOWN"),
        ({"valid_days": 401}, "REST-SCHEMA"),
        ({"max_uses": 0}, "REST-SCHEMA"),
        ({"more": 1}, "REST-SCHEMA"),
    ],
)
def test_a_secret_allows_something_and_not_too_much(ask, change, rule):
    refused = ask("POST", json={**NEW, **change})
    assert refused.status_code in {400, 404}
    assert set(refused.json["rule_ids"]) == {rule}
    assert ask("GET").json["items"] == []


def test_a_profile_that_wants_certificates_takes_no_secrets(ask, enrolling):
    enrolling.bend(authentication="certificate")
    refused = ask("POST", json=NEW)
    assert refused.json["rule_ids"] == ["EST-SECRET-NEW"]


def test_r29_nobody_gives_away_what_they_do_not_hold(ask, issuing):
    token = issuing.token(Role.OFFICER, profiles=("tls-*",), names=("dns:**.blue.test",))
    refused = ask("POST", token=token, json=NEW)
    assert refused.status_code == 403
    assert [each["pointer"] for each in refused.json["errors"]] == ["/names/0"]
    assert refused.json["rule_ids"] == ["ACCESS-GRANTOR"]


@pytest.mark.parametrize(
    "change",
    [
        "id = 'other'",
        "digest = '00'",
        "owner = 'other'",
        "profile = 'tls-server'",
        "names = '[\"*\"]'",
        "max_uses = 9",
        "created_at = 0",
        "not_after = not_after + 1",
        "event_id = 'other'",
        "uses = 0",
        "revoked_at = revoked_at + 1",
        "revoked_at = NULL",
    ],
)
def test_the_database_keeps_what_a_secret_allows_and_how_it_ended(ask, enrolling, change):
    made = ask("POST", json={**NEW, "max_uses": 2}).json
    enrolling.enrol(csr_for("a.red.test"), secret=(made["id"], made["secret"]))
    ask("DELETE", f"/{made['id']}")
    database = enrolling.issuing.context.database
    # What may be changed shows that the statement is refused for what it changes.
    for allowed in ("uses = 2", "revoked_at = revoked_at"):
        with database.write() as unit:
            unit.connection.execute(text(f"UPDATE enrolment_secret SET {allowed}"))
    with pytest.raises(BrokenRule), database.write() as unit:
        unit.connection.execute(text(f"UPDATE enrolment_secret SET {change}"))
