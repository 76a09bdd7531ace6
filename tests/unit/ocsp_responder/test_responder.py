"""What the responder answers, what it keeps, and when it says nothing at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.x509 import ocsp

from ca_server.core.errors import CaError, Kind
from ca_server.core.ocsp import IssuerId, ResponseSigner, parse_request
from ca_server.hsm.port import HsmRefused, SignatureUnknown
from ocsp_responder import responder as responder_module
from ocsp_responder.responder import STATUS_OF_KIND
from tests.fakes.responder import ResponderBench, another_issuer


@pytest.fixture
def bench():
    return ResponderBench()


def test_every_kind_of_refusal_has_its_ocsp_status():
    assert STATUS_OF_KIND.keys() == set(Kind)
    assert ocsp.OCSPResponseStatus.SUCCESSFUL not in STATUS_OF_KIND.values()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_good_revoked_and_unknown(bench, algorithm):
    for serial_number in (1, 2):
        bench.source.issue(serial_number)
    bench.source.revoke(2, bench.clock.now(), "superseded")
    answers = [bench.ask(number, algorithm=algorithm) for number in (1, 2, 3)]
    assert [answer.certificate_status.name for answer in answers] == ["GOOD", "REVOKED", "UNKNOWN"]
    assert answers[1].revocation_time_utc == bench.clock.now()
    assert answers[1].revocation_reason is x509.ReasonFlags.superseded
    for answer in answers:
        assert answer.this_update_utc == bench.clock.now()
        assert answer.next_update_utc == bench.clock.now() + timedelta(hours=4)
        assert answer.responder_key_hash is not None


def test_a_number_that_was_never_issued_is_never_good(bench):
    for number in (0, 1, 2**159 - 1):
        assert bench.status(number) == "UNKNOWN"


def test_a_certificate_of_another_authority_is_unknown_here(bench):
    bench.source.issue(7, "issuing-2")
    assert bench.status(7) == "UNKNOWN"


def test_an_unknown_issuer_is_unauthorized(bench):
    """RFC 5019 §2.2.3."""
    known = bench.issuer_id("sha1")
    for stranger in (
        IssuerId("sha1", bytes(20), known.key_hash),
        IssuerId("sha1", known.name_hash, bytes(20)),
        IssuerId("sha1", bytes(20), bytes(20)),
    ):
        assert bench.ask(1, issuer=stranger).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"GET / HTTP/1.1", bytes(9000)])
def test_r3_what_is_no_request_is_malformed(bench, data):
    reply = bench.responder.respond(data)
    answer = ocsp.load_der_ocsp_response(reply.der)
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert (reply.word, reply.next_update) == ("malformed_request", None)
    assert bench.key.signed == 0


def test_a_kept_answer_needs_no_signature_and_no_database(bench):
    bench.source.issue(1)
    first = bench.responder.respond(bench.request(1))
    reads = bench.source.reads
    second = bench.responder.respond(bench.request(1))
    assert (second.der, second.cached, first.cached) == (first.der, True, False)
    assert bench.key.signed == 1
    assert bench.source.reads == reads


def test_a_revocation_wipes_what_was_kept_within_a_second(bench):
    bench.source.issue(1)
    assert bench.status(1) == "GOOD"
    bench.source.revoke(1, bench.clock.now())
    bench.advance(1)
    assert bench.status(1) == "REVOKED"


def test_a_release_wipes_too(bench):
    bench.source.issue(1)
    bench.source.revoke(1, bench.clock.now(), "certificateHold")
    assert bench.status(1) == "REVOKED"
    bench.source.issue(1)
    bench.source.number += 1
    bench.advance(1)
    assert bench.status(1) == "GOOD"


def test_what_is_unknown_is_not_kept(bench):
    assert bench.status(1) == "UNKNOWN"
    bench.source.issue(1)
    assert bench.status(1) == "GOOD"


def test_a_kept_answer_is_made_anew_at_half_its_life(bench):
    bench.source.issue(1)
    first = bench.ask(1)
    bench.advance(2 * 3600 - 1)
    assert bench.ask(1).this_update_utc == first.this_update_utc
    bench.advance(1)
    assert bench.ask(1).this_update_utc == bench.clock.now()


def test_a_kept_answer_from_the_future_is_not_given(bench):
    bench.source.issue(1)
    first = bench.ask(1)
    bench.clock.advance(hours=-1)
    assert bench.ask(1).this_update_utc == first.this_update_utc - timedelta(hours=1)


def test_a_nonce_is_echoed_and_its_answer_never_kept(bench):
    """RFC 9654."""
    bench.source.issue(1)
    for nonce in (b"a" * 32, b"b" * 32, b"c"):
        answer = bench.ask(1, nonce=nonce)
        assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    assert bench.key.signed == 3
    with pytest.raises(x509.ExtensionNotFound):
        bench.ask(1).extensions.get_extension_for_class(x509.OCSPNonce)
    assert bench.responder.respond(bench.request(1, nonce=b"d")).next_update is None


def test_memory_has_a_limit(bench, monkeypatch):
    monkeypatch.setattr(responder_module, "MAX_CACHED", 3)
    for number in range(5):
        bench.source.issue(number)
        bench.ask(number)
    assert len(bench.responder._kept) == 3
    signed = bench.key.signed
    bench.ask(4)
    assert bench.key.signed == signed
    bench.ask(0)
    assert bench.key.signed == signed + 1


def test_r15_a_database_away_for_long_leaves_nothing_but_try_later(bench):
    bench.source.issue(1)
    bench.source.issue(2)
    assert bench.status(1) == "GOOD"
    bench.source.away = True
    bench.advance(5)
    assert bench.status(1) == "GOOD"
    assert bench.status(2) == "TRY_LATER"
    bench.advance(6)
    assert bench.status(1) == "TRY_LATER"
    reads = bench.source.reads
    assert [bench.status(1) for _ in range(20)] == ["TRY_LATER"] * 20
    assert bench.source.reads == reads
    bench.source.away = False
    bench.source.revoke(1, bench.clock.now())
    bench.advance(1)
    assert bench.status(1) == "REVOKED"


def test_a_database_away_from_the_start_is_try_later(bench):
    bench.source.away = True
    assert bench.status(1) == "TRY_LATER"


def test_r24_a_database_put_back_in_time_is_not_believed(bench):
    bench.source.issue(1)
    bench.source.revoke(1, bench.clock.now())
    assert bench.status(1) == "REVOKED"
    bench.source.issue(1)
    bench.source.number = 0
    for _second in range(3):
        bench.advance(1)
        assert bench.status(1) == "TRY_LATER"
    bench.source.number = 1
    bench.source.revoke(1, bench.clock.now())
    bench.advance(1)
    assert bench.status(1) == "REVOKED"


def test_what_the_operator_must_mend_is_logged_once_and_what_clients_do_is_not(bench, caplog):
    bench.source.issue(1)
    bench.responder.respond(b"garbage")
    bench.ask(1, issuer=IssuerId("sha1", bytes(20), bytes(20)))
    assert caplog.records == []
    bench.key.unplug()
    for _ in range(5):
        bench.status(1)
    assert [record.getMessage() for record in caplog.records] == ["cannot answer: the token is away []"]
    bench.key.error = None
    assert bench.status(1) == "GOOD"


def refusal(bench, request: bytes) -> tuple[str, ...]:
    """The rules that an answer was refused by, before it became an OCSP error."""
    with pytest.raises(CaError) as caught:
        bench.responder._answer(parse_request(request))
    return caught.value.rule_ids


def test_refusals_name_their_rules(bench):
    bench.source.issue(1)
    stranger = IssuerId("sha1", bytes(20), bytes(20))
    assert refusal(bench, bench.request(1, issuer=stranger)) == ("OCSP-ISSUER",)
    bench.source.number = 5
    bench.advance(1)
    bench.ask(1)
    bench.source.number = 4
    bench.advance(1)
    assert refusal(bench, bench.request(1)) == ("OCSP-ROLLBACK",)
    bench.source.number = 5
    bench.advance(1)
    bench.clock.advance(days=20_000)
    assert refusal(bench, bench.request(1)) == ("OCSP-EXPIRED",)


def test_a_token_away_is_try_later_and_kept_answers_still_hold(bench):
    bench.source.issue(1)
    bench.source.issue(2)
    assert bench.status(1) == "GOOD"
    bench.key.unplug()
    assert (bench.status(1), bench.status(2)) == ("GOOD", "TRY_LATER")
    bench.key.error = None
    assert bench.status(2) == "GOOD"


def test_a_token_that_refuses_is_our_error(bench):
    bench.source.issue(1)
    bench.key.error = HsmRefused("wrong PIN")
    assert bench.status(1) == "INTERNAL_ERROR"


def test_a_late_token_ends_the_process(bench):
    bench.source.issue(1)
    bench.key.error = SignatureUnknown("too late")
    with pytest.raises(SignatureUnknown):
        bench.responder.respond(bench.request(1))


def test_no_answer_outlives_the_responders_certificate():
    start = ResponderBench().authority.not_valid_before_utc
    begin = ResponderBench().clock.now()
    bench = ResponderBench(lifetime=begin - start + timedelta(hours=1))
    bench.source.issue(1)
    assert bench.ask(1).next_update_utc == begin + timedelta(hours=1)
    bench.advance(3600)
    assert bench.status(1) == "TRY_LATER"


def several(bench, *requests: bytes) -> bytes:
    parts = [asn1_ocsp.OCSPRequest.load(each)["tbs_request"]["request_list"][0] for each in requests]
    return asn1_ocsp.OCSPRequest({"tbs_request": {"request_list": parts}}).dump()


def test_several_are_answered_at_once(bench):
    bench.source.issue(1)
    bench.source.issue(2)
    bench.source.revoke(2, bench.clock.now())
    reply = bench.responder.respond(several(bench, *(bench.request(number) for number in (1, 2, 3))))
    basic = asn1_ocsp.OCSPResponse.load(reply.der)["response_bytes"]["response"].parsed
    names = [each["cert_status"].name for each in basic["tbs_response_data"]["responses"]]
    assert names == ["good", "revoked", "unknown"]
    assert bench.key.signed == 1
    assert (reply.word, reply.next_update) == ("several", None)


def test_several_authorities_are_answered_for_but_not_in_one_response(bench):
    other = another_issuer()
    bench.responder = bench.make_responder(other)
    bench.source.issue(1)
    bench.source.issue(9, "issuing-2")
    elsewhere = bench.request(9, issuer=other.ids[0])
    assert bench.status(1) == "GOOD"
    answer = ocsp.load_der_ocsp_response(bench.responder.respond(elsewhere).der)
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert answer.certificates == [other.signer.certificate]
    mixed = bench.responder.respond(several(bench, bench.request(1), elsewhere))
    assert ocsp.load_der_ocsp_response(mixed.der).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_r15_an_answer_that_was_looked_up_before_a_wipe_is_not_kept(bench):
    """Another thread sees the revocation while this one still signs what it read before."""
    bench.source.issue(1)
    sign = bench.key.sign

    def sign_late(data, algorithm):
        bench.key.sign = sign
        bench.source.revoke(1, bench.clock.now())
        bench.advance(2)
        bench.responder.require_fresh()
        return sign(data, algorithm)

    late = ResponseSigner(bench.issuer.signer.certificate, sign_late)
    bench.issuer = replace(bench.issuer, signer=late)
    bench.responder = bench.make_responder()
    assert bench.status(1) == "GOOD"
    assert bench.status(1) == "REVOKED"
