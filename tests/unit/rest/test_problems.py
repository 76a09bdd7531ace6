"""The table of problems is total, and a problem says what it must and nothing it must not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask import Flask
from pydantic import ValidationError

from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.rest.bodies import StrictJSON
from ca_server.rest.problems import PROBLEMS, install_problems, problem_of, responses, validation_problem
from ca_server.rest.schemas import NewCertificateRequest


@pytest.fixture
def app():
    made = Flask("test", static_folder=None)
    made.json = StrictJSON(made)
    install_problems(made)
    return made


def test_every_kind_has_a_problem():
    assert PROBLEMS.keys() == set(Kind)
    assert all(400 <= problem.status < 600 and problem.title for problem in PROBLEMS.values())


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_a_whole_problem(app, kind):
    with app.test_request_context():
        response = problem_of(refuse(kind, "SOME-RULE", "why", pointer="/csr"))
    body = json.loads(response.data)
    assert response.mimetype == "application/problem+json"
    assert body["status"] == response.status_code == PROBLEMS[kind].status
    assert body["type"] == "urn:sealkeeper:problem:" + kind.value.replace("_", "-")
    assert body["rule_ids"] == ["SOME-RULE"]
    assert body["errors"] == [{"rule_id": "SOME-RULE", "detail": "why", "pointer": "/csr"}]


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.RATE_LIMITED])
def test_who_may_come_back_is_told_when(app, kind):
    with app.test_request_context():
        assert problem_of(CaError(kind, "busy", retry_after=7)).headers["Retry-After"] == "7"
        assert int(problem_of(CaError(kind, "busy")).headers["Retry-After"]) > 0


def test_who_is_unknown_is_told_how_to_be_known(app):
    with app.test_request_context():
        response = problem_of(CaError(Kind.UNAUTHENTICATED, "who"))
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_reused_key_is_unprocessable(app):
    with app.test_request_context():
        assert problem_of(refuse(Kind.CONFLICT, "IDEMPOTENCY-REUSED", "other body")).status_code == 422
        assert problem_of(refuse(Kind.CONFLICT, "OTHER", "else")).status_code == 409


def test_rule_ids_stand_once_and_in_order(app):
    violations = tuple(Violation(rule, "why") for rule in ("B-RULE", "A-RULE", "B-RULE"))
    with app.test_request_context():
        body = json.loads(problem_of(CaError(Kind.POLICY_REFUSED, "no", violations=violations)).data)
    assert body["rule_ids"] == ["B-RULE", "A-RULE"]
    assert len(body["errors"]) == 3


def test_r23_what_was_sent_is_not_echoed(app):
    canary = "canary-4711"
    sent = {"profile": canary.upper(), "csr": "", "not_after": canary, canary: canary}
    with pytest.raises(ValidationError) as caught:
        NewCertificateRequest.model_validate(sent)
    with app.test_request_context():
        text = validation_problem(caught.value).get_data(as_text=True)
    assert canary not in text.lower()
    assert '"/not_after"' in text
    assert '"/profile"' in text


def test_our_bug_is_opaque_and_a_missing_route_is_a_problem(app):
    @app.get("/broken")
    def broken():
        raise KeyError("a secret word")

    client = app.test_client()
    response = client.get("/broken")
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    assert b"secret" not in response.data
    assert b"Traceback" not in response.data
    for answer, status in ((client.get("/nowhere"), 404), (client.post("/broken"), 405)):
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        assert answer.get_json()["type"] == "about:blank"
    assert client.post("/broken").headers["Allow"]


def test_operations_declare_what_every_operation_can_answer():
    assert responses(404).keys() == {"400", "401", "403", "404", "500", "503"}


def test_the_page_on_rest_has_every_problem_with_its_status():
    page = (Path(__file__).resolve().parents[3] / "ops/docs/rest.md").read_text()
    rows = dict(re.findall(r"^\| `(urn:[a-z:-]+)` \| ([0-9]{3})", page, re.MULTILINE))
    assert rows == {
        f"urn:sealkeeper:problem:{kind.replace('_', '-')}": str(int(problem.status))
        for kind, problem in PROBLEMS.items()
    }
