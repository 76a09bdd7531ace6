"""Every kind and rule in the words of RFC 8555 §6.7, and subproblems that name what they are about."""

from __future__ import annotations

import pytest
from flask import Flask, g

from ca_server.acme.problems import KINDS, RULES, TYPE_PREFIX, install_problems, problem_of, type_uri
from ca_server.acme.services import EXTENSION
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.jose import ALGORITHMS
from tests.fixtures.ordering import SETTINGS

# RFC 8555 §6.7, RFC 9773 §7.3, draft-ietf-acme-profiles §6.
WORDS = {
    "accountDoesNotExist",
    "alreadyReplaced",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "dns",
    "externalAccountRequired",
    "invalidContact",
    "invalidProfile",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
}


class Held:
    """The one thing of the services that problems look at."""

    settings = SETTINGS.model_copy(update={"terms_of_service": "https://ca.test/terms"})


@pytest.fixture
def app():
    made = Flask("test", static_folder=None)
    made.extensions[EXTENSION] = Held()
    install_problems(made)

    @made.get("/bug")
    def bug():
        raise ZeroDivisionError("secret")

    return made


def answer(app, error, identifiers=()):
    with app.test_request_context("/"):
        g.identifiers = [{"type": "dns", "value": name} for name in identifiers]
        response = problem_of(error)
    return response, response.get_json()


def test_every_kind_has_its_words():
    assert KINDS.keys() == set(Kind)
    assert {each.word for each in (*KINDS.values(), *RULES.values())} == WORDS


def test_every_kind_is_a_problem_document(app):
    for kind in Kind:
        response, body = answer(app, refuse(kind, "SOME-RULE", "because"))
        assert response.content_type == "application/problem+json"
        assert response.headers["Content-Language"] == "en"
        assert body == {
            "type": TYPE_PREFIX + KINDS[kind].word,
            "status": response.status_code,
            "detail": "because",
            "rule_ids": ["SOME-RULE"],
        }
        waits = response.status_code in {429, 503}
        assert ("Retry-After" in response.headers) == waits


def test_a_rule_with_a_word_of_its_own_has_it_whatever_its_kind(app):
    for rule_id, expected in RULES.items():
        response, body = answer(app, refuse(Kind.MALFORMED, rule_id, "because"))
        assert (response.status_code, body["type"]) == (expected.status, type_uri(expected.word))


def test_how_long_to_wait_is_told(app):
    response, _ = answer(app, CaError(Kind.RATE_LIMITED, "too many", retry_after=77))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "77")


def test_dns_that_gives_no_answer_about_caa_is_dns_and_worth_waiting_for(app):
    violations = (Violation("ACME-CAA-LOOKUP", "no answer"),)
    error = CaError(Kind.UNAVAILABLE, "no answer", violations=violations, retry_after=10)
    response, body = answer(app, error)
    assert (response.status_code, body["type"]) == (503, type_uri("dns"))
    assert response.headers["Retry-After"] == "10"


def test_one_rule_about_one_name_names_it_in_a_subproblem(app):
    error = refuse(Kind.REJECTED_IDENTIFIER, "NAME-DNS", "no", pointer="/identifiers/1")
    _, body = answer(app, error, ["a.example.com", "b..example.com"])
    assert body["type"] == type_uri("rejectedIdentifier")
    assert "identifier" not in body
    assert body["subproblems"] == [
        {
            "type": type_uri("rejectedIdentifier"),
            "detail": "no",
            "identifier": {"type": "dns", "value": "b..example.com"},
        }
    ]


def test_several_rules_of_one_type_keep_their_type_and_others_are_compound(app):
    same = (Violation("CSR-SAN", "one", "/csr"), Violation("KEY-TYPE", "two"))
    response, body = answer(app, CaError(Kind.BAD_CSR, "two rules", violations=same))
    assert (response.status_code, body["type"], len(body["subproblems"])) == (400, type_uri("badCSR"), 2)
    mixed = (
        Violation("ACME-IDENTIFIER-TYPE", "one", "/identifiers/0"),
        Violation("NAME-DNS", "two", "/identifiers/9"),
    )
    response, body = answer(app, CaError(Kind.REJECTED_IDENTIFIER, "two rules", violations=mixed), ["a"])
    assert (response.status_code, body["type"]) == (400, type_uri("compound"))
    assert "identifier" in body["subproblems"][0]
    assert "identifier" not in body["subproblems"][1]


def test_what_else_the_rfc_wants_is_there(app):
    _, body = answer(app, refuse(Kind.MALFORMED, "ACME-ALGORITHM", "no"))
    assert body["algorithms"] == list(ALGORITHMS)
    response, body = answer(app, refuse(Kind.FORBIDDEN, "ACME-TERMS", "no"))
    assert body["instance"] == "https://ca.test/terms"
    assert response.headers["Link"] == '<https://ca.test/terms>;rel="terms-of-service"'


def test_r23_a_bug_is_told_without_its_words(app):
    response = app.test_client().get("/bug")
    assert response.status_code == 500
    assert response.get_json()["type"] == type_uri("serverInternal")
    assert b"secret" not in response.data
