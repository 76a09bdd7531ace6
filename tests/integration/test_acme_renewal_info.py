"""Renewal information (RFC 9773): its own time for what is good, at once for what is not or is flagged."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert

from ca_server.core.acme.certid import CertId, certid_of
from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.renewal import renewal_info
from ca_server.services.acme.renewal_flags import NewFlag, create_flag, end_flag, list_flags
from ca_server.services.context import process_actor
from ca_server.services.revoke import release_certificate, revoke_certificate
from ca_server.store import tables
from ca_server.store.renewal_flags import FlagScope
from tests.fakes.stored import ISSUING, ROOT

OFFICER = Principal("token:officer", Role.OFFICER, "token")
AUDITOR = Principal("token:auditor", Role.AUDITOR, "token")
REQUESTER = Principal("token:requester", Role.REQUESTER, "token", ("*",), ("*",))
WHY = "https://ca.example.com/why"


@pytest.fixture(scope="module")
def policies():
    return PolicyStore()


def ask(hierarchy, leaf):
    return renewal_info(hierarchy.context, str(certid_of(leaf.certificate)))


def is_forced(hierarchy, leaf) -> bool:
    info = ask(hierarchy, leaf)
    assert info.start < info.end
    return info.end <= hierarchy.context.clock.now()


def refusal(call, *arguments, **keywords) -> CaError:
    with pytest.raises(CaError) as caught:
        call(*arguments, **keywords)
    return caught.value


def test_what_is_good_has_its_window_in_the_last_part_of_its_life(hierarchy, clock):
    leaf = hierarchy.issue(lifetime=timedelta(days=90))
    info = ask(hierarchy, leaf)
    assert clock.now() + timedelta(days=55) < info.start < info.end < clock.now() + timedelta(days=65)
    assert (info.explanation_url, info.retry_after) == (None, 6 * 3600)
    clock.advance(days=200)
    assert ask(hierarchy, leaf) == info


def test_short_lives_are_asked_about_more_often(hierarchy):
    info = ask(hierarchy, hierarchy.issue(lifetime=timedelta(hours=24)))
    assert 3600 <= info.retry_after <= 3700


@pytest.mark.parametrize(
    "certid",
    [CertId(b"\x01" * 20, 7), CertId(b"\x01", 2**159 - 1)],
)
def test_of_what_is_not_ours_nothing_is_known(hierarchy, certid):
    leaf = hierarchy.issue()
    known = certid_of(leaf.certificate)
    for unknown in (certid, CertId(known.key_identifier, 7), CertId(b"\x01" * 20, known.serial_number)):
        error = refusal(renewal_info, hierarchy.context, str(unknown))
        assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("ACME-CERTID-UNKNOWN",))


def test_an_authority_or_a_crafted_name_is_no_certificate(hierarchy):
    assert refusal(renewal_info, hierarchy.context, str(certid_of(hierarchy.issuer))).rule_ids == (
        "ACME-CERTID-UNKNOWN",
    )
    for text in ("", "x", "../../..", "\x00.\x00", "A" * 100_000):
        assert refusal(renewal_info, hierarchy.context, text).rule_ids == ("ACME-CERTID",)


def test_what_is_revoked_or_held_is_renewed_at_once(hierarchy):
    held, revoked, good = (hierarchy.issue() for _ in range(3))
    revoke_certificate(hierarchy.context, OFFICER, held.id, "certificateHold")
    revoke_certificate(hierarchy.context, OFFICER, revoked.id, "superseded")
    assert [is_forced(hierarchy, each) for each in (held, revoked, good)] == [True, True, False]
    release_certificate(hierarchy.context, OFFICER, held.id)
    assert not is_forced(hierarchy, held)


def test_r16_what_shares_a_compromised_key_is_renewed_at_once(hierarchy):
    key = ec.generate_private_key(ec.SECP256R1())
    first, second, other = hierarchy.issue(key=key), hierarchy.issue("two.test", key=key), hierarchy.issue()
    revoke_certificate(hierarchy.context, OFFICER, first.id, "keyCompromise")
    assert [is_forced(hierarchy, each) for each in (second, other)] == [True, False]


def test_what_stands_on_a_revoked_authority_is_renewed_at_once(hierarchy, clock):
    leaf = hierarchy.issue()
    event = hierarchy.context.event(
        "revoke.done", process_actor("test"), {"authority": ROOT, "serial": "0" * 40, "reason": "superseded"}
    )
    with hierarchy.context.database.write() as unit:
        unit.connection.execute(
            insert(tables.revocation).values(
                authority_id=ROOT,
                serial_number=f"{hierarchy.issuer.serial_number:040x}",
                revoked_at=to_epoch(clock.now()),
                reason="cACompromise",
                not_after=to_epoch(hierarchy.issuer.not_valid_after_utc),
                event_id=event.event_id,
            )
        )
        unit.commit(event)
    assert is_forced(hierarchy, leaf)


def test_flags_force_what_they_name_until_they_end(hierarchy, policies):
    leaf, other = hierarchy.issue(), hierarchy.issue()
    new = NewFlag(FlagScope.CERTIFICATE, leaf.id, WHY)
    flag = create_flag(hierarchy.context, OFFICER, policies, new)
    assert (is_forced(hierarchy, leaf), is_forced(hierarchy, other)) == (True, False)
    assert ask(hierarchy, leaf).explanation_url == WHY
    [event] = hierarchy.events("renewal.flagged")
    assert event["actor"]["id"] == OFFICER.id
    assert event["data"] == {
        "flag": flag.id,
        "scope": "certificate",
        "subject": leaf.id,
        "explanation_url": WHY,
    }
    end_flag(hierarchy.context, OFFICER, flag.id)
    assert not is_forced(hierarchy, leaf)
    assert [each["data"] for each in hierarchy.events("renewal.unflagged")] == [{"flag": flag.id}]
    error = refusal(end_flag, hierarchy.context, OFFICER, flag.id)
    assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("ACME-FLAG-UNKNOWN",))


@pytest.mark.parametrize(
    "new", [NewFlag(FlagScope.AUTHORITY, ISSUING), NewFlag(FlagScope.PROFILE, "tls-server")]
)
def test_a_flag_counts_for_what_was_issued_before_it(hierarchy, clock, policies, new):
    """Or whoever renewed would be told to renew again, for ever."""
    leaf = hierarchy.issue()
    clock.advance(seconds=1)
    create_flag(hierarchy.context, OFFICER, policies, new)
    assert is_forced(hierarchy, leaf)
    clock.advance(seconds=1)
    assert not is_forced(hierarchy, hierarchy.issue())


def test_flags_of_others_force_nothing(hierarchy, policies):
    leaf = hierarchy.issue()
    create_flag(hierarchy.context, OFFICER, policies, NewFlag(FlagScope.AUTHORITY, ROOT))
    create_flag(hierarchy.context, OFFICER, policies, NewFlag(FlagScope.PROFILE, "tls-client"))
    assert not is_forced(hierarchy, leaf)


@pytest.mark.parametrize("scope", list(FlagScope))
def test_what_there_is_not_cannot_be_flagged(hierarchy, policies, scope):
    error = refusal(create_flag, hierarchy.context, OFFICER, policies, NewFlag(scope, "f" * 64))
    assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("ACME-FLAG-SUBJECT",))
    assert hierarchy.events("renewal.flagged") == []


def test_r14_only_officers_flag_and_requesters_see_none(hierarchy, policies):
    leaf = hierarchy.issue()
    new = NewFlag(FlagScope.CERTIFICATE, leaf.id)
    for principal in (AUDITOR, REQUESTER):
        assert refusal(create_flag, hierarchy.context, principal, policies, new).rule_ids == ("ACCESS-ROLE",)
        assert refusal(end_flag, hierarchy.context, principal, "x").rule_ids == ("ACCESS-ROLE",)
    flag = create_flag(hierarchy.context, OFFICER, policies, new)
    assert list_flags(hierarchy.context, AUDITOR, after=None, limit=10) == [flag]
    assert list_flags(hierarchy.context, AUDITOR, after=flag.id, limit=10) == []
    error = refusal(list_flags, hierarchy.context, REQUESTER, after=None, limit=10)
    assert error.rule_ids == ("ACCESS-ROLE",)
