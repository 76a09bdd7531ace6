"""The gate and the lane on a real token and a real database."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from sqlalchemy import insert, text

from ca_server.compose import open_issuance
from ca_server.core.authorization import Mint, Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.services.certificate_request import CertificateRequest, Idempotency
from ca_server.services.outcome import Outcomes
from ca_server.services.recover import LeftBehind, RecoverySettings
from ca_server.services.stored_intent import IntentCheck
from ca_server.store.tables import compromised_key
from tests import world

REQUESTER = Principal("token:t", Role.REQUESTER, "token", ("tls-server",), ("dns:*.example.test",))


def csr_for(*names: str):
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return parse_csr(csr.public_bytes(Encoding.DER))


@pytest.fixture
def issuance(appliance):
    opened = open_issuance(appliance.config, "test")
    opened.lane.wait_until_ready(30)
    yield opened
    opened.close()


def request_for(issuance, csr, *, profile="tls-server", key=None, body="0" * 64):
    authorization = issuance.mints["rest"].authorize(REQUESTER, profile, csr.identifiers)
    idempotency = Idempotency(key, body) if key else None
    return CertificateRequest(csr, authorization, idempotency=idempotency)


def ask(issuance, csr, **asked):
    return issuance.gate.issue(request_for(issuance, csr, **asked))


def test_a_csr_becomes_a_logged_certificate(issuance):
    issued = ask(issuance, csr_for("one.example.test"))
    certificate = x509.load_der_x509_certificate(issued.der)
    assert issued.serial_number == f"{certificate.serial_number:040x}"
    assert issued.certificate_id == certificate.fingerprint(hashes.SHA256()).hex()
    counted = world.check(issuance.context.database)
    assert counted["certificates"] == 1


def test_the_same_idempotency_key_gives_the_same_certificate(issuance):
    csr = csr_for("two.example.test")
    first = ask(issuance, csr, key="k")
    assert ask(issuance, csr, key="k") == first
    with pytest.raises(CaError) as refusal:
        ask(issuance, csr, key="k", body="1" * 64)
    assert refusal.value.rule_ids == ("IDEMPOTENCY-REUSED",)
    assert world.check(issuance.context.database)["certificates"] == 1


def test_r36_a_hundred_requests_with_one_key_give_one_certificate(issuance):
    csr = csr_for("race.example.test")
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def race():
        issued = ask(issuance, csr, key="race")
        with lock:
            seen[issued.certificate_id] += 1

    threads = [threading.Thread(target=race) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(seen.values()) == [100]
    assert world.check(issuance.context.database)["certificates"] == 1


def test_many_at_once_go_together(issuance):
    csrs = [csr_for(f"host-{number}.example.test") for number in range(40)]
    threads = [threading.Thread(target=ask, args=(issuance, csr)) for csr in csrs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.check(issuance.context.database)["certificates"] == 40


def test_r1_an_authorization_made_elsewhere_is_refused(issuance):
    csr = csr_for("forged.example.test")
    forged = Mint("rest", b"another key").authorize(REQUESTER, "tls-server", csr.identifiers)
    with pytest.raises(CaError) as refusal:
        issuance.gate.issue(CertificateRequest(csr, forged))
    assert refusal.value.rule_ids == ("GATE-AUTHORIZATION",)
    assert world.check(issuance.context.database)["intents"] == 0


def test_r1_another_protocols_authorization_is_refused(issuance):
    csr = csr_for("forged.example.test")
    theirs = issuance.mints["server"].authorize(REQUESTER, "tls-server", csr.identifiers)
    claimed = type(theirs)("rest", theirs.principal, theirs.profile, theirs.identifiers, theirs.seal)
    with pytest.raises(CaError) as refusal:
        issuance.gate.issue(CertificateRequest(csr, claimed))
    assert refusal.value.rule_ids == ("GATE-AUTHORIZATION",)


def test_a_refusal_is_stored_and_logged_and_changes_nothing_else(issuance):
    csr = csr_for("*.example.test")
    authorization = issuance.mints["rest"].authorize(REQUESTER, "code-signing", csr.identifiers)
    with pytest.raises(CaError) as refusal:
        issuance.gate.issue(CertificateRequest(csr, authorization))
    assert refusal.value.rule_ids
    counted = world.check(issuance.context.database)
    assert counted["refused"] == 1
    assert counted["intents"] == 0


def test_an_unknown_profile_is_refused_and_logged(issuance):
    with pytest.raises(CaError) as refusal:
        ask(issuance, csr_for("x.example.test"), profile="no-such-profile")
    assert refusal.value.kind is Kind.NOT_FOUND
    assert refused_events(issuance)[-1]["rule_ids"] == ["PROFILE-UNKNOWN"]


def test_a_request_that_breaks_a_rule_a_thousand_times_is_logged_once_a_rule(issuance):
    names = [f"host-{number}.elsewhere.test" for number in range(1200)]
    with pytest.raises(CaError) as refusal:
        ask(issuance, csr_for(*names, "*.example.test"))
    logged = refused_events(issuance)[-1]["rule_ids"]
    assert logged == sorted(set(refusal.value.rule_ids))
    assert world.check(issuance.context.database)["refused"] == 1


def test_a_value_that_x509_cannot_write_is_refused_and_logged(issuance):
    """An underscore is no PrintableString, which a serialNumber attribute must be."""
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "32473-gateway_0042", _ASN1Type.UTF8String)]
    )
    uri = x509.UniformResourceIdentifier("urn:dev:ops:32473-gateway_0042")
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    with pytest.raises(CaError) as refusal:
        ask(issuance, parse_csr(csr.public_bytes(Encoding.DER)), profile="device-identity")
    assert refusal.value.rule_ids == ("PROFILE-ENCODING",)
    assert refused_events(issuance)[-1]["rule_ids"] == ["PROFILE-ENCODING"]


def test_an_open_intent_of_a_key_that_was_compromised_since_is_not_signed(issuance):
    csr = csr_for("late.example.test")
    known = issuance.gate._known(request_for(issuance, csr, key="late"))
    entry = issuance.gate._entry(request_for(issuance, csr, key="late"), compromised=known.compromised)
    Outcomes(issuance.context).store_intents([entry])
    event = issuance.context.event("key.compromised", entry.actor, {"spki_sha256": csr.spki_sha256})
    with issuance.context.database.write() as unit:
        row = {
            "spki_sha256": csr.spki_sha256,
            "created_at": 0,
            "reason": "leaked",
            "event_id": event.event_id,
        }
        unit.connection.execute(insert(compromised_key).values(**row))
        unit.commit(event)
    with pytest.raises(CaError) as refusal:
        ask(issuance, csr, key="late")
    assert refusal.value.rule_ids == ("KEY-COMPROMISED",)
    assert left_behind(issuance).open_entries() == []
    assert world.check(issuance.context.database)["certificates"] == 0


def left_behind(issuance):
    check = IntentCheck(issuance.context, issuance.policies, issuance.issuers)
    return LeftBehind(issuance.context, check, RecoverySettings(grace=timedelta(seconds=-1)))


def stored_intent(issuance, csr, **changed):
    """An intent in the database as the gate would have stored it, but for what an insider changed."""
    entry = issuance.gate._entry(request_for(issuance, csr), compromised=False)
    entry = replace(entry, intent=replace(entry.intent, **changed))
    Outcomes(issuance.context).store_intents([entry])
    return entry


def test_an_honest_stored_intent_is_signed(issuance):
    stored_intent(issuance, csr_for("honest.example.test"))
    assert len(left_behind(issuance).open_entries()) == 1


def test_r8_a_stored_intent_with_other_bytes_is_never_signed(issuance):
    other = issuance.gate._entry(request_for(issuance, csr_for("other.example.test")), compromised=False)
    csr = csr_for("mine.example.test")
    stored_intent(issuance, csr, tbs=other.intent.tbs)
    stored_intent(issuance, csr, tbs=other.intent.tbs, tbs_sha256=other.intent.tbs_sha256)
    assert left_behind(issuance).open_entries() == []
    assert abandoned_reasons(issuance) == ["not the bytes that were logged"] * 2


def test_r8_a_logged_intent_that_the_policy_does_not_give_is_never_signed(issuance):
    entry = issuance.gate._entry(request_for(issuance, csr_for("mine.example.test")), compromised=False)
    other = issuance.gate._entry(request_for(issuance, csr_for("other.example.test")), compromised=False)
    forged = replace(
        other, new=replace(other.new, request=replace(entry.new.request, id=other.new.request.id))
    )
    Outcomes(issuance.context).store_intents([forged])
    assert left_behind(issuance).open_entries() == []
    assert abandoned_reasons(issuance) == ["not what the policy gives"]


def abandoned_reasons(issuance):
    with issuance.context.database.read() as connection:
        bodies = connection.execute(text("SELECT body FROM audit_event WHERE kind = 'issue.abandoned'"))
        return [json.loads(bytes(body))["data"]["reason"] for (body,) in bodies]


def refused_events(issuance):
    with issuance.context.database.read() as connection:
        bodies = connection.execute(
            text("SELECT body FROM audit_event WHERE kind = 'issue.refused' ORDER BY number")
        )
        return [json.loads(bytes(body))["data"] for (body,) in bodies]


def test_r12_serial_numbers_are_random_in_every_bit(issuance):
    serials = [int(ask(issuance, csr_for(f"s{n}.example.test")).serial_number, 16) for n in range(64)]
    assert len(set(serials)) == 64
    assert all(0 < serial < 1 << 159 for serial in serials)
    for bit in range(159):
        ones = sum(serial >> bit & 1 for serial in serials)
        assert 8 <= ones <= 56, f"bit {bit} is set {ones} of 64 times"
