"""Every kind of failure as a status and a few sentences; nothing of the cause is told."""

from __future__ import annotations

import pytest
from flask import Flask, g

from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.est.failures import (
    MAX_SENTENCES,
    STATUS_OF_RULE,
    STATUSES,
    failure_reply,
    failure_text,
    install_failures,
)


@pytest.fixture
def app():
    made = Flask("test", static_folder=None)
    install_failures(made)

    @made.get("/bug")
    def bug():
        raise ZeroDivisionError("secret")

    return made


def answer(app, error):
    with app.test_request_context("/"):
        response = failure_reply(error)
        assert g.rule_ids == error.rule_ids
        return response


def test_every_kind_has_a_status_that_says_whose_turn_it_is():
    assert STATUSES.keys() == set(Kind)
    assert all(400 <= status < 600 for status in STATUSES.values())
    assert [rule for rule, status in STATUS_OF_RULE.items() if status < 400] == ["APPROVAL-PENDING"]


@pytest.mark.parametrize("kind", Kind)
def test_a_failure_is_text(app, kind):
    response = answer(app, refuse(kind, "PROFILE-NAME-ALLOW", "the name a.example.com is not allowed"))
    assert response.status_code == STATUSES[kind]
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.get_data(as_text=True) == "The name a.example.com is not allowed. [PROFILE-NAME-ALLOW]\n"
    assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)
    assert ("Retry-After" in response.headers) == (response.status_code in {429, 503})


def test_retry_after_is_what_the_failure_says(app):
    for kind in (Kind.UNAVAILABLE, Kind.RATE_LIMITED):
        assert answer(app, CaError(kind, "later", retry_after=77)).headers["Retry-After"] == "77"
        assert answer(app, CaError(kind, "later")).headers["Retry-After"] == "5"


def test_a_request_that_waits_for_approval_is_accepted(app):
    violations = (Violation("APPROVAL-PENDING", "the request waits for 1 of 2 approvals"),)
    error = CaError(Kind.NOT_READY, "the request waits", violations=violations, retry_after=60)
    response = answer(app, error)
    assert (response.status_code, response.headers["Retry-After"]) == (202, "60")
    assert response.get_data(as_text=True) == "The request waits for 1 of 2 approvals. [APPROVAL-PENDING]\n"
    # Whatever else is not ready is no promise of a certificate.
    assert answer(app, CaError(Kind.NOT_READY, "not ready")).status_code == 503


@pytest.mark.parametrize(
    ("rule_id", "status"), [("EST-SIZE", 413), ("EST-MEDIA-TYPE", 415), ("EST-METHOD", 405)]
)
def test_what_http_has_a_status_for_gets_it(app, rule_id, status):
    assert answer(app, refuse(Kind.MALFORMED, rule_id, "no")).status_code == status


def test_each_broken_rule_is_a_sentence_and_no_sentence_stands_twice():
    violations = (
        Violation("PROFILE-KEY", "the key is too short"),
        Violation("PROFILE-NAME", "a name is missing."),
        Violation("PROFILE-OTHER", "the key is too short"),
        Violation("PROFILE-KEY", "the key is too old"),
    )
    text = failure_text(CaError(Kind.POLICY_REFUSED, "refused", violations=violations))
    assert text == (
        "The key is too short. A name is missing. The key is too old. "
        "[PROFILE-KEY, PROFILE-NAME, PROFILE-OTHER]\n"
    )


def test_a_long_list_is_cut():
    violations = tuple(Violation("NAME-X", f"name {number} is wrong") for number in range(MAX_SENTENCES + 5))
    text = failure_text(CaError(Kind.BAD_CSR, "refused", violations=violations))
    assert text.count("is wrong") == MAX_SENTENCES
    assert "5 more things are wrong. [NAME-X]\n" in text


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("somebody's name is missing", "Somebody's name is missing."),
        ("later", "Later."),
        ("tls-peer is not given over EST", "tls-peer is not given over EST."),
        ("www.example.com is not allowed", "www.example.com is not allowed."),
        ("common_name may stand once", "common_name may stand once."),
        ("challengePassword holds one text", "challengePassword holds one text."),
    ],
)
def test_a_sentence_begins_with_a_capital_and_a_name_stays_as_it_is(detail, shown):
    assert failure_text(CaError(Kind.BAD_CSR, detail)) == f"{shown}\n"


def test_without_a_rule_there_is_the_sentence_alone():
    assert failure_text(CaError(Kind.UNAVAILABLE, "the database is away")) == "The database is away.\n"


def test_a_bug_is_not_told(app):
    response = app.test_client().get("/bug")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
