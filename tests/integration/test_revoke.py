"""Revocation as one transaction: who may, what changes with it, and what a hundred at once come to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import to_epoch
from ca_server.core.crl import REASONS
from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import spki_sha256
from ca_server.services.revoke import release_certificate, revoke_certificate
from ca_server.store import tables
from ca_server.store.inventory import is_revoked
from ca_server.store.issuance import is_compromised
from tests.fakes.stored import ISSUING, ROOT

OFFICER = Principal("token:officer", Role.OFFICER, "token")
ADMINISTRATOR = Principal("token:administrator", Role.ADMINISTRATOR, "token")
AUDITOR = Principal("token:auditor", Role.AUDITOR, "token")
OWNER = Principal("token:owner", Role.REQUESTER, "token")
STRANGER = Principal("token:stranger", Role.REQUESTER, "token")


def refusal(call, *arguments) -> CaError:
    with pytest.raises(CaError) as caught:
        call(*arguments)
    return caught.value


def in_force(hierarchy, leaf) -> bool:
    with hierarchy.context.database.read() as connection:
        return is_revoked(connection, ISSUING, leaf.serial_number)


@pytest.mark.parametrize("principal", [OFFICER, ADMINISTRATOR, OWNER], ids=lambda each: each.role)
def test_a_revocation_changes_everything_in_one_transaction(hierarchy, clock, principal):
    leaf = hierarchy.issue()
    told = revoke_certificate(hierarchy.context, principal, leaf.id, "superseded")
    assert (told.authority_id, told.serial_number, told.reason) == (
        ISSUING,
        leaf.serial_number,
        "superseded",
    )
    assert told.revoked_at == clock.now()
    assert in_force(hierarchy, leaf)
    [event] = hierarchy.events("revoke.done")
    assert event["actor"]["id"] == principal.id
    assert event["data"] == {"authority": ISSUING, "serial": leaf.serial_number, "reason": "superseded"}
    [row] = hierarchy.rows(tables.revocation)
    assert row["event_id"] == event["event_id"]
    assert row["not_after"] == to_epoch(leaf.certificate.not_valid_after_utc)
    assert hierarchy.rows(tables.watermark) == [{"name": "revocation", "value": 1}]
    [due] = hierarchy.rows(tables.due_work)
    assert (due["kind"], due["subject"], due["due_at"]) == ("crl.publish", ISSUING, to_epoch(clock.now()))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_rfc_5280_is_accepted(hierarchy, reason):
    revoke_certificate(hierarchy.context, OFFICER, hierarchy.issue().id, reason)
    assert [row["reason"] for row in hierarchy.rows(tables.revocation)] == [reason]


@pytest.mark.parametrize("reason", ["removeFromCRL", "keycompromise", "", "1", "unspecified\x00", "a" * 1000])
def test_other_reasons_are_refused(hierarchy, reason):
    leaf = hierarchy.issue()
    error = refusal(revoke_certificate, hierarchy.context, OFFICER, leaf.id, reason)
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("REVOKE-REASON",))
    assert not in_force(hierarchy, leaf)
    assert hierarchy.events("revoke.refused")[0]["data"]["rule_ids"] == ["REVOKE-REASON"]


@pytest.mark.parametrize(
    ("principal", "kind", "told", "rule_id"),
    [
        (AUDITOR, Kind.FORBIDDEN, "REVOKE-ROLE", "REVOKE-ROLE"),
        (STRANGER, Kind.NOT_FOUND, "REVOKE-UNKNOWN", "REVOKE-OWNER"),
    ],
    ids=["auditor", "another requester"],
)
def test_r4_nobody_revokes_what_is_not_theirs(hierarchy, principal, kind, told, rule_id):
    """A stranger is told that there is nothing; the log says what it was."""
    leaf = hierarchy.issue()
    own = hierarchy.issue("own.example.test", owner=principal.id)
    error = refusal(revoke_certificate, hierarchy.context, principal, leaf.id, "unspecified")
    assert (error.kind, error.rule_ids) == (kind, (told,))
    assert not in_force(hierarchy, leaf)
    assert not in_force(hierarchy, own)
    [event] = hierarchy.events("revoke.refused")
    assert event["actor"]["id"] == principal.id
    assert event["outcome"] == "failure"
    assert event["data"] == {
        "authority": ISSUING,
        "serial": leaf.serial_number,
        "rule_ids": [rule_id],
    }
    assert hierarchy.rows(tables.watermark) == []
    assert hierarchy.rows(tables.due_work) == []


@pytest.mark.parametrize("certificate_id", ["0" * 64, "", "x' OR 1=1 --", "f" * 10_000])
def test_an_unknown_certificate_is_not_found_and_logged(hierarchy, certificate_id):
    hierarchy.issue()
    error = refusal(revoke_certificate, hierarchy.context, OFFICER, certificate_id, "unspecified")
    assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("REVOKE-UNKNOWN",))
    [event] = hierarchy.events("access.refused")
    assert event["data"] == {"rule_ids": ["REVOKE-UNKNOWN"], "action": "certificate.revoke"}
    assert hierarchy.rows(tables.revocation) == []


@pytest.mark.parametrize("name", [ROOT, ISSUING])
def test_an_authority_is_revoked_by_a_ceremony_only(hierarchy, name):
    certificate = hierarchy.root if name == ROOT else hierarchy.issuer
    certificate_id = certificate.fingerprint(hashes.SHA256()).hex()
    error = refusal(revoke_certificate, hierarchy.context, ADMINISTRATOR, certificate_id, "cACompromise")
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("REVOKE-AUTHORITY",))
    assert hierarchy.rows(tables.revocation) == []


def test_a_second_revocation_is_refused_and_changes_nothing(hierarchy, clock):
    leaf = hierarchy.issue()
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "superseded")
    before = hierarchy.rows(tables.revocation)
    clock.advance(minutes=1)
    for reason in ("keyCompromise", "certificateHold"):
        error = refusal(revoke_certificate, hierarchy.context, OFFICER, leaf.id, reason)
        assert (error.kind, error.rule_ids) == (Kind.ALREADY_REVOKED, ("REVOKE-ALREADY",))
    assert hierarchy.rows(tables.revocation) == before
    assert hierarchy.rows(tables.compromised_key) == []
    assert hierarchy.rows(tables.watermark) == [{"name": "revocation", "value": 1}]
    assert len(hierarchy.events("revoke.refused")) == 2


def test_r36_a_hundred_revocations_at_once_are_one(hierarchy):
    leaf = hierarchy.issue()

    def attempt(_number: int) -> str:
        try:
            revoke_certificate(hierarchy.context, OFFICER, leaf.id, "keyCompromise")
        except CaError as error:
            return error.rule_ids[0]
        return "done"

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(attempt, range(100)))
    assert sorted(outcomes) == ["REVOKE-ALREADY"] * 99 + ["done"]
    assert len(hierarchy.events("revoke.done")) == 1
    assert len(hierarchy.events("key.compromised")) == 1
    assert hierarchy.rows(tables.watermark) == [{"name": "revocation", "value": 1}]


def test_r16_a_compromised_key_is_banned_once_and_for_ever(hierarchy):
    key = ec.generate_private_key(ec.SECP256R1())
    first, second = hierarchy.issue(key=key), hierarchy.issue("two.example.test", key=key)
    for leaf in (first, second):
        revoke_certificate(hierarchy.context, OFFICER, leaf.id, "keyCompromise")
    [event] = hierarchy.events("key.compromised")
    assert event["data"] == {"spki_sha256": spki_sha256(key.public_key())}
    assert event["ref"] == hierarchy.events("revoke.done")[0]["event_id"]
    with hierarchy.context.database.read() as connection:
        assert is_compromised(connection, spki_sha256(key.public_key()))


def test_an_invalidity_date_is_kept_and_lies_in_the_past(hierarchy, clock):
    leaf = hierarchy.issue()
    tomorrow = clock.now() + timedelta(days=1)
    error = refusal(revoke_certificate, hierarchy.context, OFFICER, leaf.id, "keyCompromise", tomorrow)
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("REVOKE-INVALIDITY-DATE",))
    yesterday = clock.now() - timedelta(days=1)
    told = revoke_certificate(hierarchy.context, OFFICER, leaf.id, "keyCompromise", yesterday)
    assert told.invalidity_date == yesterday
    assert hierarchy.rows(tables.revocation)[0]["invalidity_date"] == to_epoch(yesterday)
    assert hierarchy.events("revoke.done")[0]["data"]["invalidity_date"] == "2027-02-28T12:00:00Z"


def test_a_hold_is_released_and_can_be_put_again(hierarchy, clock):
    leaf = hierarchy.issue()
    revoke_certificate(hierarchy.context, OWNER, leaf.id, "certificateHold")
    assert in_force(hierarchy, leaf)
    error = refusal(revoke_certificate, hierarchy.context, OWNER, leaf.id, "certificateHold")
    assert error.rule_ids == ("REVOKE-ALREADY",)
    release_certificate(hierarchy.context, OFFICER, leaf.id)
    assert not in_force(hierarchy, leaf)
    [event] = hierarchy.events("revoke.released")
    assert event["data"] == {"authority": ISSUING, "serial": leaf.serial_number}
    clock.advance(days=1)
    told = revoke_certificate(hierarchy.context, OWNER, leaf.id, "superseded")
    assert told.revoked_at == clock.now()
    assert in_force(hierarchy, leaf)
    assert hierarchy.rows(tables.watermark) == [{"name": "revocation", "value": 3}]


def test_a_hold_made_final_keeps_its_date(hierarchy, clock):
    leaf = hierarchy.issue()
    start = clock.now()
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "certificateHold")
    clock.advance(days=1)
    told = revoke_certificate(hierarchy.context, OFFICER, leaf.id, "keyCompromise")
    assert told.revoked_at == start
    [row] = hierarchy.rows(tables.revocation)
    assert (row["revoked_at"], row["reason"]) == (to_epoch(start), "keyCompromise")
    error = refusal(release_certificate, hierarchy.context, OFFICER, leaf.id)
    assert (error.kind, error.rule_ids) == (Kind.CONFLICT, ("REVOKE-NOT-HELD",))


def test_who_was_put_on_hold_does_not_release_itself(hierarchy):
    leaf = hierarchy.issue()
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "certificateHold")
    for principal in (OWNER, AUDITOR, STRANGER):
        error = refusal(release_certificate, hierarchy.context, principal, leaf.id)
        assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("REVOKE-ROLE",))
    assert in_force(hierarchy, leaf)


def test_only_a_hold_is_released(hierarchy):
    free, revoked = hierarchy.issue(), hierarchy.issue("two.example.test")
    revoke_certificate(hierarchy.context, OFFICER, revoked.id, "superseded")
    for leaf in (free, revoked):
        error = refusal(release_certificate, hierarchy.context, OFFICER, leaf.id)
        assert (error.kind, error.rule_ids) == (Kind.CONFLICT, ("REVOKE-NOT-HELD",))
    assert hierarchy.events("revoke.released") == []
    assert refusal(release_certificate, hierarchy.context, OFFICER, "0" * 64).kind is Kind.NOT_FOUND


def test_r24_without_its_event_no_revocation_is_kept(hierarchy, monkeypatch):
    """The log cannot be written: nothing is revoked, nothing is half done."""
    leaf = hierarchy.issue()

    def fail(*_arguments, **_keywords):
        raise CaError(Kind.UNAVAILABLE, "the database is not available")

    with monkeypatch.context() as patch:
        patch.setattr("ca_server.store.unit_of_work.UnitOfWork.commit", fail)
        assert refusal(revoke_certificate, hierarchy.context, OFFICER, leaf.id, "superseded").kind is (
            Kind.UNAVAILABLE
        )
    assert not in_force(hierarchy, leaf)
    for table in (tables.watermark, tables.due_work, tables.compromised_key):
        assert hierarchy.rows(table) == []
