"""OCSP as values: what a request says, what is refused, what a response holds."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import core as asn1_core
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from ca_server.core.errors import CaError, Kind
from ca_server.core.lints import blocking
from ca_server.core.lints.pkix import lint_ocsp_response
from ca_server.core.ocsp import (
    MAX_CERT_IDS,
    MAX_NONCE_BYTES,
    MAX_REQUEST_BYTES,
    Answer,
    CertId,
    IssuerId,
    OcspRequest,
    ResponseSigner,
    build_response,
    error_response,
    issuer_ids,
    parse_request,
)
from ca_server.core.signatures import KeyType, default_algorithm, verify_signature
from ca_server.hsm.software import SoftwareKeyStore
from tests.fakes.paper_authority import issuer_key, make_issuer
from tests.fakes.stored import KeySigner, make_delegated

NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - pkilint and producedAt know one clock only
HOUR = timedelta(hours=1)
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


def issuer_id(algorithm: str = "sha256") -> IssuerId:
    return next(each for each in issuer_ids(make_issuer().certificate) if each.algorithm == algorithm)


def request_for(serial_number: int, algorithm: str = "sha256", nonce: bytes | None = None) -> bytes:
    issuer = issuer_id(algorithm)
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        issuer.name_hash, issuer.key_hash, serial_number, HASHES[algorithm]
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def request_for_many(count: int, nonce: bytes | None = None, **changes) -> bytes:
    single = asn1_ocsp.OCSPRequest.load(request_for(1, nonce=nonce))["tbs_request"]
    parts = []
    for number in range(1, count + 1):
        part = single["request_list"][0].copy()
        part["req_cert"]["serial_number"] = number
        for name, value in changes.items():
            part["req_cert"][name] = value
        parts.append(part)
    whole = asn1_ocsp.TBSRequest({"request_list": parts})
    if nonce is not None:
        whole["request_extensions"] = single["request_extensions"]
    return asn1_ocsp.OCSPRequest({"tbs_request": whole}).dump()


def with_extension(oid: str, *, critical: bool, value: bytes) -> bytes:
    request = asn1_ocsp.OCSPRequest.load(request_for(1))
    extension = {"extn_id": oid, "critical": critical, "extn_value": asn1_core.ParsableOctetString(value)}
    request["tbs_request"]["request_extensions"] = [extension]
    return request.dump(force=True)


def refusal_of(data: bytes) -> CaError:
    with pytest.raises(CaError) as caught:
        parse_request(data)
    return caught.value


@pytest.mark.parametrize("algorithm", HASHES)
def test_an_issuer_is_known_by_name_and_key(algorithm):
    certificate = make_issuer().certificate
    point = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    found = issuer_id(algorithm)
    assert found.name_hash == hashlib.new(algorithm, certificate.subject.public_bytes()).digest()
    assert found.key_hash == hashlib.new(algorithm, point).digest()
    assert len(issuer_ids(certificate)) == 2


@pytest.mark.parametrize("nonce", [None, b"n", b"n" * 32, b"n" * MAX_NONCE_BYTES], ids=lambda n: n and len(n))
@pytest.mark.parametrize("algorithm", HASHES)
def test_a_request_is_read(algorithm, nonce):
    serial_number = 2**158 + 1
    expected = OcspRequest((CertId(issuer_id(algorithm), serial_number),), nonce)
    assert parse_request(request_for(serial_number, algorithm, nonce)) == expected


@pytest.mark.parametrize("nonce", [None, b"once"])
@pytest.mark.parametrize("count", [2, MAX_CERT_IDS])
def test_a_request_for_several_is_read_in_order(count, nonce):
    found = parse_request(request_for_many(count, nonce=nonce))
    assert [cert_id.serial_number for cert_id in found.cert_ids] == list(range(1, count + 1))
    assert {cert_id.issuer for cert_id in found.cert_ids} == {issuer_id()}
    assert found.nonce == nonce


@pytest.mark.parametrize("count", [0, MAX_CERT_IDS + 1, 60])
def test_r31_a_request_for_none_or_too_many_is_refused(count):
    error = refusal_of(request_for_many(count))
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("OCSP-COUNT",))


@pytest.mark.parametrize("size", [0, MAX_NONCE_BYTES + 1, 4000])
def test_a_nonce_of_wrong_length_is_refused(size):
    """RFC 9654 §2.1."""
    error = refusal_of(request_for(1, nonce=b"n" * size))
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("OCSP-NONCE",))


def test_a_hash_by_which_no_issuer_is_known_is_refused():
    many = request_for_many(
        1, hash_algorithm={"algorithm": "sha512"}, issuer_name_hash=bytes(64), issuer_key_hash=bytes(64)
    )
    odd = request_for_many(1, hash_algorithm={"algorithm": "2.5.4.3"})
    for data in (many, odd):
        error = refusal_of(data)
        assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("OCSP-HASH",))


def test_hashes_of_wrong_length_are_refused():
    assert refusal_of(request_for_many(1, issuer_key_hash=bytes(31))).rule_ids == ("OCSP-FORMAT",)


@pytest.mark.parametrize("serial_number", [-1, -(2**160), 2**159, 2**2000])
def test_a_serial_number_that_none_can_have_is_refused(serial_number):
    """RFC 5280 §4.1.2.2."""
    request = asn1_ocsp.OCSPRequest.load(request_for(1))
    request["tbs_request"]["request_list"][0]["req_cert"]["serial_number"] = serial_number
    error = refusal_of(request.dump(force=True))
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("OCSP-SERIAL",))


def test_an_unknown_extension_counts_only_when_critical():
    """RFC 6960 §4.4."""
    assert parse_request(with_extension("1.2.3.4", critical=False, value=b"\x05\x00")).nonce is None
    error = refusal_of(with_extension("1.2.3.4", critical=True, value=b"\x05\x00"))
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("OCSP-EXTENSION",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        b"\x00" * 100,
        request_for(1)[:-1],
        request_for(1) + b"\x00",
        request_for_many(2)[:-1],
    ],
    ids=["empty", "empty sequence", "BER", "zeros", "cut", "longer", "several, cut"],
)
def test_what_is_no_request_is_refused(data):
    error = refusal_of(data)
    assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("OCSP-FORMAT",))


def test_r31_a_large_request_is_refused_before_it_is_parsed():
    assert refusal_of(request_for(1) + bytes(MAX_REQUEST_BYTES)).rule_ids == ("OCSP-SIZE",)


def delegated(key_type: KeyType) -> ResponseSigner:
    store = SoftwareKeyStore("tests", unprotected_keys=True)
    store.generate(key_type, label="issuer", key_id=b"1")
    store.generate(key_type, label="ocsp", key_id=b"2")
    signer = store.signer(label="ocsp")
    issuer = make_issuer().certificate
    return ResponseSigner(make_delegated(issuer, KeySigner(issuer_key()), signer), signer.sign)


def answers(*statuses: ocsp.OCSPCertStatus) -> list[Answer]:
    found = []
    for number, status in enumerate(statuses, 1):
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        found.append(
            Answer(
                CertId(issuer_id("sha1"), number),
                status,
                NOW,
                NOW + HOUR,
                revoked_at=NOW - HOUR if revoked else None,
                reason=x509.ReasonFlags.key_compromise if revoked else None,
            )
        )
    return found


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048, KeyType.ED25519])
@pytest.mark.parametrize("status", ocsp.OCSPCertStatus)
def test_a_response_says_what_it_was_given(key_type, status):
    signer = delegated(key_type)
    der = build_response(signer, answers(status), b"once")
    response = ocsp.load_der_ocsp_response(der)
    assert response.certificate_status is status
    assert (response.this_update_utc, response.next_update_utc) == (NOW, NOW + HOUR)
    assert response.certificates == [signer.certificate]
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"once"
    verify_signature(
        signer.certificate.public_key(),
        response.signature,
        response.tbs_response_bytes,
        default_algorithm(key_type),
    )
    if status is ocsp.OCSPCertStatus.REVOKED:
        assert response.revocation_time_utc == NOW - HOUR
        assert response.revocation_reason is x509.ReasonFlags.key_compromise
    assert blocking(lint_ocsp_response(der)) == ()


def test_an_unspecified_reason_is_left_out():
    [revoked] = answers(ocsp.OCSPCertStatus.REVOKED)
    plain = Answer(revoked.cert_id, revoked.status, NOW, NOW + HOUR, NOW - HOUR, x509.ReasonFlags.unspecified)
    response = ocsp.load_der_ocsp_response(build_response(delegated(KeyType.EC_P256), [plain], None))
    assert response.revocation_reason is None


@pytest.mark.parametrize("nonce", [None, b"once"])
def test_one_response_holds_the_answers_to_several(nonce):
    signer = delegated(KeyType.EC_P256)
    der = build_response(signer, answers(*ocsp.OCSPCertStatus), nonce)
    parsed = asn1_ocsp.OCSPResponse.load(der, strict=True)
    assert parsed["response_status"].native == "successful"
    basic = parsed["response_bytes"]["response"].parsed
    data = basic["tbs_response_data"]
    assert [each["cert_id"]["serial_number"].native for each in data["responses"]] == [1, 2, 3]
    assert [each["cert_status"].name for each in data["responses"]] == ["good", "revoked", "unknown"]
    assert (parsed.nonce_value.native if parsed.nonce_value else None) == nonce
    assert [each.dump() for each in basic["certs"]] == [signer.certificate.public_bytes(Encoding.DER)]
    key = signer.certificate.public_key()
    verify_signature(key, basic["signature"].native, data.dump(), default_algorithm(KeyType.EC_P256))
    assert blocking(lint_ocsp_response(der)) == ()


@pytest.mark.parametrize(
    "status", [each for each in ocsp.OCSPResponseStatus if each is not ocsp.OCSPResponseStatus.SUCCESSFUL]
)
def test_an_error_is_its_status_and_nothing_else(status):
    assert ocsp.load_der_ocsp_response(error_response(status)).response_status is status
