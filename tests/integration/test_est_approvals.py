"""Devices that have to wait for officers: 202 until it is decided, then the same certificate for ever."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.approvals import Decision
from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError
from ca_server.peer import Peer
from ca_server.services.approvals import decide_request
from ca_server.services.context import actor_of
from ca_server.services.credentials import OPERATOR
from ca_server.services.est.secrets import (
    NewEnrolmentSecret,
    create_enrolment_secret,
    revoke_enrolment_secret,
)
from ca_server.services.inventory import list_requests
from ca_server.store import approvals
from ca_server.store.approvals import Approval
from tests import world
from tests.fixtures.est_door import certificates_in, csr_of

ALICE, BOB = (Principal(f"token:{name}", Role.OFFICER, "token", ("*",), ("*",)) for name in ("alice", "bob"))


@pytest.fixture
def door(est_door):
    """The EST door; the profile of its default label needs one approval."""
    profile = est_door.issuing.policies.profile("tls-peer")
    requesters = profile.requesters.model_copy(update={"approvals": 1})
    changed = profile.model_copy(update={"requesters": requesters})
    est_door.issuing.policies._profiles[profile.name] = changed
    yield est_door
    world.check(est_door.issuing.context.database)


def pending(door):
    found = list_requests(door.issuing.context, OPERATOR, status="pending", after=None, limit=50)
    return [each.id for each in found]


def decide(door, request_id, decision=Decision.APPROVED, comment="", officer=ALICE):
    rules = door.issuing.policies.approvals
    decide_request(door.issuing.context, officer, rules, request_id, decision, comment)


def enrol(door, csr, secret, status, rule=None, *, operation="simpleenroll", **more):
    answer = door.enrol(csr, operation, secret=secret, **more)
    told = answer.get_data(as_text=True)
    assert answer.status_code == status, told
    assert rule is None or f"[{rule}]" in told
    return answer


def test_the_same_request_later_gets_the_same_certificate(door):
    secret, csr = door.secret(max_uses=1), csr_of("a.example.com")
    waiting = enrol(door, csr, secret, 202, "APPROVAL-PENDING")
    assert waiting.headers["Retry-After"] == "60"
    assert waiting.mimetype == "text/plain"
    [request_id] = pending(door)
    enrol(door, csr, secret, 202)
    assert pending(door) == [request_id]
    decide(door, request_id)
    first, second = enrol(door, csr, secret, 200), enrol(door, csr, secret, 200)
    assert first.data == second.data
    assert certificates_in(first) == certificates_in(second)
    enrol(door, csr_of("b.example.com"), secret, 401, "EST-SECRET-SPENT")


def test_how_long_a_device_waits_is_a_setting_of_the_section(door):
    patient = door.with_settings(retry_after=door.services.parts.settings.retry_after * 5)
    waiting = enrol(patient, csr_of("a.example.com"), door.secret(), 202)
    assert waiting.headers["Retry-After"] == "300"


def test_of_two_approved_requests_with_a_one_time_secret_one_gets_a_certificate(door):
    secret = door.secret(max_uses=1)
    csrs = [csr_of("a.example.com"), csr_of("b.example.com")]
    for csr in csrs:
        enrol(door, csr, secret, 202)
    for request_id in pending(door):
        decide(door, request_id)
    enrol(door, csrs[1], secret, 200)
    enrol(door, csrs[0], secret, 401, "EST-SECRET-SPENT")
    enrol(door, csrs[1], secret, 200)


def test_a_secret_that_was_revoked_meanwhile_is_of_no_use(door):
    secret, csr = door.secret(), csr_of("a.example.com")
    enrol(door, csr, secret, 202)
    decide(door, pending(door)[0])
    revoke_enrolment_secret(door.issuing.context, OPERATOR, secret[0])
    enrol(door, csr, secret, 401, "EST-SECRET")


def test_a_rejected_device_is_told_why(door):
    secret, csr = door.secret(), csr_of("a.example.com")
    enrol(door, csr, secret, 202)
    decide(door, pending(door)[0], Decision.REJECTED, "this printer was sold")
    for _ in range(2):
        told = enrol(door, csr, secret, 403, "APPROVAL-REJECTED").get_data(as_text=True)
        assert "this printer was sold" in told


def secret_of(door, officer):
    """User name and password of an enrolment secret that this officer made."""
    new = NewEnrolmentSecret("a test", "tls-peer", ("*",), timedelta(days=1), 1000)
    secret, text = create_enrolment_secret(door.issuing.context, door.issuing.policies, officer, new)
    return secret.id, text


def not_decided(door, request_id, officer):
    with pytest.raises(CaError) as refusal:
        decide(door, request_id, officer=officer)
    return refusal.value.rule_ids


def test_r40_who_makes_a_secret_does_not_approve_what_is_enrolled_with_it(door):
    secret, csr = secret_of(door, ALICE), csr_of("a.example.com")
    enrol(door, csr, secret, 202)
    [request_id] = pending(door)
    assert not_decided(door, request_id, ALICE) == ("APPROVAL-OWN",)
    insert_approval(door, request_id, csr, ALICE)
    enrol(door, csr, secret, 202)
    decide(door, request_id, officer=BOB)
    enrol(door, csr, secret, 200)


def test_r40_nor_what_a_certificate_asks_for_that_came_of_the_secret(door):
    secret, csr = secret_of(door, ALICE), csr_of("a.example.com")
    enrol(door, csr, secret, 202)
    decide(door, pending(door)[0], officer=BOB)
    first = certificates_in(enrol(door, csr, secret, 200))[0]
    held = first
    for _ in range(2):
        peer, renewal = Peer(held.public_bytes(Encoding.DER)), csr_of("a.example.com")
        enrol(door, renewal, None, 202, operation="simplereenroll", peer=peer)
        [request_id] = pending(door)
        assert not_decided(door, request_id, ALICE) == ("APPROVAL-OWN",)
        decide(door, request_id, officer=BOB)
        held = certificates_in(enrol(door, renewal, None, 200, operation="simplereenroll", peer=peer))[0]


def test_r40_where_a_certificate_and_a_secret_are_asked_for_the_secret_counts_as_well(door):
    first = certificates_in(approved(door, csr_of("a.example.com"), door.secret()))[0]
    profile = door.issuing.policies.profile("tls-peer")
    rules = profile.est.model_copy(update={"authentication": "both", "identity_profiles": ("tls-peer",)})
    door.issuing.policies._profiles[profile.name] = profile.model_copy(update={"est": rules})
    door = door.with_settings()  # which looks at the profiles anew
    secret, csr, peer = (
        secret_of(door, ALICE),
        csr_of("a.example.com"),
        Peer(first.public_bytes(Encoding.DER)),
    )
    enrol(door, csr, secret, 202, peer=peer)
    [request_id] = pending(door)
    assert not_decided(door, request_id, ALICE) == ("APPROVAL-OWN",)
    insert_approval(door, request_id, csr, ALICE)
    enrol(door, csr, secret, 202, peer=peer)
    enrol(door, csr, door.secret(), 409, "IDEMPOTENCY-REUSED", peer=peer)
    decide(door, request_id, officer=BOB)
    enrol(door, csr, secret, 200, peer=peer)


def approved(door, csr, secret):
    """The answer to a request that Bob approved."""
    enrol(door, csr, secret, 202)
    decide(door, pending(door)[0], officer=BOB)
    return enrol(door, csr, secret, 200)


def insert_approval(door, request_id, csr, officer):
    """What somebody with the database in their hands would put there, with its event."""
    data = {
        "request": request_id,
        "profile": "tls-peer",
        "decision": "approved",
        "csr_sha256": hashlib.sha256(csr).hexdigest(),
    }
    event = door.issuing.context.event("approval.decided", actor_of(officer), data)
    with door.issuing.context.database.write() as unit:
        row = Approval(request_id, officer.id, "approved", "", 0, event.event_id)
        approvals.insert_approval(unit, row)
        unit.commit(event)


def test_what_nobody_approved_ends_and_may_be_asked_for_anew(door):
    csr = csr_of("a.example.com")
    enrol(door, csr, door.secret(), 202)
    door.issuing.policies.approvals = door.issuing.policies.approvals.model_copy(
        update={"lifetime": door.services.parts.settings.retry_after}
    )
    secret = door.secret()
    enrol(door, csr, secret, 202)
    door.issuing.clock.advance(seconds=61)
    enrol(door, csr, secret, 403, "APPROVAL-EXPIRED")
    enrol(door, csr, secret, 202)
    request_id = pending(door)[0]
    decide(door, request_id)
    enrol(door, csr, secret, 200)


def test_a_renewal_waits_as_well(door):
    secret, csr = door.secret(), csr_of("a.example.com")
    enrol(door, csr, secret, 202)
    decide(door, pending(door)[0])
    first = certificates_in(enrol(door, csr, secret, 200))[0]
    peer = Peer(first.public_bytes(Encoding.DER))
    renewal = csr_of("a.example.com")
    enrol(door, renewal, None, 202, operation="simplereenroll", peer=peer)
    decide(door, pending(door)[0])
    renewed = certificates_in(enrol(door, renewal, None, 200, operation="simplereenroll", peer=peer))[0]
    assert renewed != first
