"""CRLs as bytes: what is in them, for every kind of key, and what is refused as one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.assemble import assemble_crl
from ca_server.core.crl import (
    MAX_CRL_BYTES,
    REASONS,
    CrlEntry,
    CrlIssuer,
    build_crl,
    parse_crl,
    representative,
    require_signed,
)
from ca_server.core.errors import CaError, Kind
from ca_server.core.lints.pkix import lint_crl
from ca_server.core.signatures import KeyType, SignatureAlgorithm, default_algorithm
from ca_server.hsm.software import _sign
from tests.fakes.paper_authority import make_issuer, make_key

NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KEY_TYPES = [KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521, KeyType.RSA_2048, KeyType.ED25519]


def issuer_of(key_type: KeyType = KeyType.EC_P256, algorithm: SignatureAlgorithm | None = None) -> CrlIssuer:
    certificate = make_issuer(key_type=key_type).certificate
    return CrlIssuer(certificate, algorithm or default_algorithm(key_type))


def entry(number: int, reason: str = "superseded", **more) -> CrlEntry:
    return CrlEntry(number, NOW - DAY, REASONS[reason], **more)


def sign(issuer: CrlIssuer, unsigned, key_type: KeyType = KeyType.EC_P256) -> bytes:
    return assemble_crl(unsigned.tbs, _sign(make_key(key_type), unsigned.tbs, issuer.algorithm))


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_crl_is_what_its_issuer_signed(key_type):
    issuer = issuer_of(key_type)
    unsigned = build_crl(issuer, [entry(1), entry(2)], 7, NOW, NOW + DAY)
    crl = require_signed(sign(issuer, unsigned, key_type), issuer)
    assert crl.tbs_certlist_bytes == unsigned.tbs
    assert [each.serial_number for each in crl] == [1, 2]
    assert (crl.last_update_utc, crl.next_update_utc) == (NOW, NOW + DAY)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    above = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert above.key_identifier == own.digest


def test_rsa_pss_is_signed_as_asked():
    issuer = issuer_of(KeyType.RSA_2048, SignatureAlgorithm.RSA_PSS_SHA256)
    unsigned = build_crl(issuer, [], 1, NOW, NOW + DAY)
    crl = require_signed(sign(issuer, unsigned, KeyType.RSA_2048), issuer)
    assert crl.signature_algorithm_oid == x509.SignatureAlgorithmOID.RSASSA_PSS


@pytest.mark.parametrize("reason", REASONS)
def test_pkilint_accepts_every_reason(reason):
    lost = entry(3, reason, invalidity_date=NOW - 2 * DAY)
    assert lint_crl(build_crl(issuer_of(), [lost], 1, NOW, NOW + DAY).twin) == ()


def test_unspecified_is_left_out():
    crl = x509.load_der_x509_crl(build_crl(issuer_of(), [entry(1, "unspecified")], 1, NOW, NOW + DAY).twin)
    assert len(crl[0].extensions) == 0


def test_times_after_2050_are_generalized():
    later = datetime(2061, 1, 1, tzinfo=UTC)
    twin = build_crl(issuer_of(), [CrlEntry(1, later, REASONS["superseded"])], 1, later, later + DAY).twin
    assert x509.load_der_x509_crl(twin).next_update_utc == later + DAY
    assert lint_crl(twin) == ()


def test_the_largest_serial_and_number_fit():
    twin = build_crl(issuer_of(), [entry(2**159 - 1)], 2**63 - 1, NOW, NOW + DAY).twin
    crl = x509.load_der_x509_crl(twin)
    assert crl[0].serial_number == 2**159 - 1
    assert lint_crl(twin) == ()


def test_a_crl_grows_in_proportion_to_its_entries():
    """One by one, 20,000 entries would be copied 200 million times."""

    def seconds(count: int) -> float:
        entries = [entry(number) for number in range(1, count + 1)]
        start = time.perf_counter()
        build_crl(issuer_of(), entries, 1, NOW, NOW + DAY)
        return time.perf_counter() - start

    seconds(100)
    assert seconds(20_000) < 60 * seconds(2_000)


def test_a_linter_sees_one_entry_of_each_shape():
    entries = [entry(number, reason) for number, reason in enumerate(REASONS, 1)]
    entries += [entry(100, "superseded"), entry(101, "superseded", invalidity_date=NOW)]
    shapes = representative(entries)
    assert {(each.reason, each.invalidity_date is None) for each in shapes} == {
        (each.reason, each.invalidity_date is None) for each in entries
    }
    assert len(shapes) == len(REASONS) + 1


def test_another_issuers_signature_is_refused():
    issuer = issuer_of()
    unsigned = build_crl(issuer, [], 1, NOW, NOW + DAY)
    with pytest.raises(CaError) as caught:
        require_signed(unsigned.twin, issuer)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.INTERNAL, ("CRL-SIGNATURE",))


def test_der_and_pem_are_read():
    der = build_crl(issuer_of(), [entry(1)], 1, NOW, NOW + DAY).twin
    pem = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    for data in (der, pem, b"\n\n" + pem):
        assert [each.serial_number for each in parse_crl(data)] == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        b"-----BEGIN X509 CRL-----\n",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    ],
    ids=["empty", "no CRL", "cut", "PEM of no CRL"],
)
def test_what_is_no_crl_is_refused(data):
    with pytest.raises(CaError) as caught:
        parse_crl(data)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.MALFORMED, ("CRL-FORMAT",))


def test_r31_a_crl_without_end_is_refused_before_it_is_parsed():
    with pytest.raises(CaError) as caught:
        parse_crl(bytes(MAX_CRL_BYTES + 1))
    assert caught.value.rule_ids == ("CRL-SIZE",)
