"""Who is new in a roster proves a key of theirs over that very roster, and does nothing else by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.people import check_signature, check_statement
from ca_server.core.ceremony.roster import parse_roster
from ca_server.core.ceremony.statement import Gate, Statement
from ca_server.core.errors import CaError
from tests.fixtures.rosters import key_entry, person_entry, roster_bytes, software_key
from tests.fixtures.ssh_signatures import TokenKey

ADA, BOB, PRACTICE = TokenKey(), TokenKey(), software_key()
OLD = parse_roster(roster_bytes(person_entry("ada", key_entry(ADA))))
NEXT = roster_bytes(
    person_entry("ada", key_entry(ADA)),
    person_entry("bob", key_entry(BOB), key_entry(PRACTICE)),
    previous=OLD.sha256,
    sequence=2,
)
NEW = parse_roster(NEXT)
OTHER = roster_bytes(person_entry("bob", key_entry(BOB)), previous=OLD.sha256, sequence=2)
PATH = "papers/new-roster.json"
NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
STATEMENT = Statement(
    ceremony="roster-change",
    kind="roster-change",
    mode="production",
    gate=Gate.CANDIDATE,
    step="prove",
    script_sha256="a" * 64,
    roster_sha256=OLD.sha256,
    subject=PATH,
    subject_sha256=NEW.sha256,
    transcript_sequence=7,
    transcript_sha256="d" * 64,
    person="bob",
    role=RoleName.KEY_OFFICER,
    nonce="0" * 32,
    time=NOON,
)
NAMESPACE = "ceremony@example.com"


def check(statement, key, *, namespace=NAMESPACE, mode="production", moment=NOON):
    text = statement.text()
    papers = {PATH: NEXT, "papers/other.json": OTHER}
    return check_statement(text, key.sign(text, namespace), (OLD, papers.__getitem__), mode, moment)


def refused(statement, key, **how) -> tuple[str, ...]:
    with pytest.raises(CaError) as caught:
        check(statement, key, **how)
    return caught.value.rule_ids


def test_a_candidate_signs_with_a_key_of_the_new_roster():
    signed = check(STATEMENT, BOB)
    assert (signed.person, signed.key_sha256) == ("bob", NEW.persons["bob"].keys[0].public_key.sha256)


def test_a_candidates_signature_counts_at_no_other_gate():
    text = replace(STATEMENT, person="ada").text()
    with pytest.raises(CaError) as caught:
        check_signature(text, ADA.sign(text, NAMESPACE), OLD, "production", NOON)
    assert caught.value.rule_ids == ("CEREMONY-STATEMENT",)


@pytest.mark.parametrize("gate", [each for each in Gate if each is not Gate.CANDIDATE])
def test_who_is_only_in_the_new_roster_signs_no_other_gate(gate):
    assert refused(replace(STATEMENT, gate=gate), BOB) == ("CEREMONY-PERSON",)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject_sha256": OLD.sha256},
        {"subject": "papers/other.json"},
        {"roster_sha256": NEW.sha256},
    ],
)
def test_a_candidate_signs_over_this_roster_and_its_successor(changes):
    assert refused(replace(STATEMENT, **changes), BOB) == ("CEREMONY-STATEMENT",)


def test_another_persons_key_proves_nothing():
    assert refused(STATEMENT, ADA) == ("CEREMONY-SIGNATURE",)


def test_a_key_that_is_for_rehearsals_proves_nothing_in_production():
    assert refused(STATEMENT, PRACTICE) == ("CEREMONY-KEY-USE",)


def test_mode_namespace_and_time_bind_candidates_too():
    assert refused(STATEMENT, BOB, mode="rehearsal") == ("CEREMONY-MODE",)
    assert refused(STATEMENT, BOB, namespace="ceremony-rehearsal@example.com") == ("CEREMONY-NAMESPACE",)
    assert refused(STATEMENT, BOB, moment=NOON + timedelta(days=4000)) == ("CEREMONY-KEY-EXPIRED",)
