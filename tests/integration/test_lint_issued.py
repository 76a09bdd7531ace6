"""The full lint of what was issued: each certificate once, whatever the order of commits, whatever fails."""

from __future__ import annotations

import pytest
from cryptography import x509
from sqlalchemy import text

from ca_server.core.lints import Finding, Severity
from ca_server.services import lint_issued as service
from ca_server.services.lint_issued import lint_issued, merge
from ca_server.store import tables

BUDGET = 60.0


def sequence(hierarchy, *certificate_ids: str) -> None:
    """Give the `issue.done` of these certificates the next places in the tree."""
    with hierarchy.context.database.write() as unit:
        for certificate_id in certificate_ids:
            unit.connection.execute(
                text(
                    "UPDATE audit_event SET leaf_index ="
                    " (SELECT coalesce(max(leaf_index), -1) + 1 FROM audit_event) WHERE event_id ="
                    " (SELECT issued_event_id FROM certificate WHERE id = :id)"
                ),
                {"id": certificate_id},
            )
        unit.commit_unaudited("what the sequencer does")


@pytest.fixture
def linted(monkeypatch):
    """The names of what was linted, in order, by the real lint."""
    seen = []
    real = service.lint_certificate

    def lint(der):
        common_name = x509.load_der_x509_certificate(der).subject.rfc4514_string()
        seen.append(common_name.removeprefix("CN="))
        return real(der)

    monkeypatch.setattr(service, "lint_certificate", lint)
    return seen


def test_a_certificate_is_linted_once_and_when_it_is_in_the_log(hierarchy, linted):
    first, second = hierarchy.issue("one.example.test"), hierarchy.issue("two.example.test")
    assert lint_issued(hierarchy.context, budget=BUDGET) == 0
    sequence(hierarchy, first.id, second.id)
    assert lint_issued(hierarchy.context, budget=BUDGET) == 2
    assert lint_issued(hierarchy.context, budget=BUDGET) == 0
    assert linted == ["one.example.test", "two.example.test"]


def test_a_certificate_that_was_committed_late_is_linted(hierarchy, linted):
    """Its row has the lower number; by number it would have been passed over."""
    late, early = hierarchy.issue("late.example.test"), hierarchy.issue("early.example.test")
    sequence(hierarchy, early.id)
    assert lint_issued(hierarchy.context, budget=BUDGET) == 1
    sequence(hierarchy, late.id)
    assert lint_issued(hierarchy.context, budget=BUDGET) == 1
    assert linted == ["early.example.test", "late.example.test"]


def test_two_findings_of_one_code_are_one_row(hierarchy, monkeypatch):
    found = (
        Finding(Severity.WARNING, "pkix.twice", "here"),
        Finding(Severity.ERROR, "pkix.twice", "there"),
        Finding(Severity.NOTICE, "pkix.twice", "blocks nothing"),
    )
    monkeypatch.setattr(service, "lint_certificate", lambda _der: found)
    leaf = hierarchy.issue()
    sequence(hierarchy, leaf.id)
    assert lint_issued(hierarchy.context, budget=BUDGET) == 1
    [row] = hierarchy.rows(tables.lint_finding)
    assert (row["code"], row["severity"], row["detail"]) == ("pkix.twice", "error", "here; there")
    [event] = hierarchy.events("lint.finding")
    assert event["event_id"] == row["event_id"]


def test_a_lint_that_fails_is_a_finding_and_the_next_is_linted(hierarchy, monkeypatch):
    real = service.lint_certificate

    def lint(der):
        if b"odd.example.test" in der:
            raise RecursionError("too deep")
        return real(der)

    monkeypatch.setattr(service, "lint_certificate", lint)
    odd, good = hierarchy.issue("odd.example.test"), hierarchy.issue("good.example.test")
    sequence(hierarchy, odd.id, good.id)
    assert lint_issued(hierarchy.context, budget=BUDGET) == 2
    [row] = [row for row in hierarchy.rows(tables.lint_finding) if row["code"] == "LINT-ERROR"]
    assert (row["certificate_id"], row["severity"]) == (odd.id, "error")
    assert row["detail"] == "pkilint failed: RecursionError"


def test_findings_of_several_codes_stay_apart():
    found = tuple(Finding(Severity.ERROR, code, "same") for code in ("a", "b", "a"))
    assert merge(found) == found[:2]
