"""House rules look at the very bytes to be signed: each is broken by a certificate made wrong on purpose."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_server.core.assemble import Unsigned
from ca_server.core.lints import Severity, blocking
from ca_server.core.lints.house import lint_house
from ca_server.core.lints.shape import shape_of
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import SERIAL, dns, grant, ip, make_csr, make_issuer, make_key, subject
from tests.fakes.spoiled_certificates import FIELDS, build, naive


def findings(unsigned, fields=FIELDS):
    found = lint_house(unsigned, fields, make_issuer())
    assert blocking(found) == found
    return [finding.code for finding in found]


def usage(**more):
    words = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign")
    words += ("crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=True, **(dict.fromkeys(words, False) | more))


def test_a_right_certificate_breaks_none():
    assert findings(build()) == []


@pytest.mark.parametrize(
    ("wrong", "rule_id"),
    [
        ({"digest": hashes.SHA384()}, "HOUSE-ALGORITHM"),
        ({"drop": x509.BasicConstraints}, "HOUSE-CA"),
        ({"drop": x509.BasicConstraints, "add": [(x509.BasicConstraints(True, None), True)]}, "HOUSE-CA"),
        ({"drop": x509.BasicConstraints, "add": [(x509.BasicConstraints(False, None), False)]}, "HOUSE-CA"),
        ({"drop": x509.KeyUsage, "add": [(usage(), False)]}, "HOUSE-CA"),
        ({"issuer_name": subject(common_name="Other CA")}, "HOUSE-ISSUER"),
        ({"drop": x509.AuthorityKeyIdentifier}, "HOUSE-ISSUER"),
        ({"public_key": make_key(KeyType.EC_P384).public_key()}, "HOUSE-KEY"),
        ({"drop": x509.SubjectKeyIdentifier}, "HOUSE-KEY"),
        ({"drop": x509.SubjectAlternativeName}, "HOUSE-NAMES"),
        ({"subject_name": subject(common_name="a.example.com")}, "HOUSE-NAMES"),
        ({"drop": x509.ExtendedKeyUsage}, "HOUSE-PURPOSE"),
        ({"serial_number": 1}, "HOUSE-SERIAL"),
        ({"serial_number": (1 << 95) - 1}, "HOUSE-SERIAL"),
        ({"drop": (x509.AuthorityInformationAccess, x509.CRLDistributionPoints)}, "HOUSE-STATUS"),
        ({"not_valid_after": naive(FIELDS.not_after + timedelta(days=1))}, "HOUSE-VALIDITY"),
        (
            {"not_valid_before": naive(FIELDS.not_before - timedelta(days=1))},
            "HOUSE-VALIDITY",
        ),
    ],
)
def test_each_rule_finds_its_fault(wrong, rule_id):
    assert findings(build(**wrong)) == [rule_id]


@pytest.mark.parametrize(
    "names",
    [
        [*dns("a.example.com"), x509.DNSName("b.example.com")],
        [*dns("a.example.com"), *ip("10.0.0.1")],
        [*dns("a.example.com"), x509.RFC822Name("root@example.com")],
        [*dns("a.example.com"), x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01a")],
        dns("b.example.com"),
        dns("a.example.com", "a.example.com"),
    ],
)
def test_r5_r8_names_beside_those_authorized_are_found_in_the_bytes(names):
    san = x509.SubjectAlternativeName(names)
    assert findings(build(drop=x509.SubjectAlternativeName, add=[(san, True)])) == ["HOUSE-NAMES"]


def test_names_that_are_not_critical_under_an_empty_subject_are_found():
    san = x509.SubjectAlternativeName(dns("a.example.com"))
    assert findings(build(drop=x509.SubjectAlternativeName, add=[(san, False)])) == ["HOUSE-NAMES"]


def test_r7_a_purpose_beside_the_profiles_is_found():
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]
    wrong = build(drop=x509.ExtendedKeyUsage, add=[(x509.ExtendedKeyUsage(purposes), False)])
    assert findings(wrong) == ["HOUSE-PURPOSE"]


def test_r7_a_key_usage_beside_the_profiles_is_found():
    wrong = build(drop=x509.KeyUsage, add=[(usage(key_encipherment=True), True)])
    assert findings(wrong) == ["HOUSE-PURPOSE"]
    wrong = build(drop=x509.KeyUsage, add=[(usage(key_cert_sign=True), True)])
    assert findings(wrong) == ["HOUSE-CA", "HOUSE-PURPOSE"]
    assert findings(build(drop=x509.KeyUsage)) == ["HOUSE-CA", "HOUSE-PURPOSE"]


def test_a_life_beyond_the_profiles_is_found_though_it_was_granted():
    fields = replace(FIELDS, not_after=FIELDS.not_before + timedelta(days=500))
    unsigned = build(not_valid_after=naive(fields.not_after))
    assert findings(unsigned, fields) == ["HOUSE-VALIDITY"]


def test_a_twin_of_another_certificate_is_found():
    assert findings(Unsigned(build().tbs, build(serial_number=SERIAL + 1).twin, build().algorithm)) == [
        "HOUSE-DECODE"
    ]
    assert findings(Unsigned(b"0\x00", b"0\x00", build().algorithm)) == ["HOUSE-DECODE"]


def test_blocking_takes_the_bad_ones():
    wrong = lint_house(build(serial_number=1), FIELDS, make_issuer())
    assert wrong[0].severity is Severity.ERROR
    assert blocking([replace(wrong[0], severity=each) for each in Severity]) == tuple(
        replace(wrong[0], severity=each) for each in (Severity.FATAL, Severity.ERROR, Severity.WARNING)
    )


def test_certificates_of_one_shape_differ_in_values_alone():
    shape = shape_of(FIELDS, make_issuer())
    same = grant("tls-server", make_csr(dns("b.example.com", "c.example.com")))
    assert shape_of(same, make_issuer()) == shape
    others = [
        grant("tls-peer", make_csr(dns("a.example.com"))),
        grant("tls-server", make_csr(dns("a.example.com"), key=make_key(KeyType.EC_P384))),
        grant("tls-server", make_csr(dns("a.example.com") + ip("10.0.0.1"))),
        grant("tls-server", make_csr(dns("a.example.com"), name=subject(common_name="a.example.com"))),
    ]
    shapes = {shape_of(each, make_issuer()) for each in others}
    assert len(shapes) == len(others)
    assert shape not in shapes
    assert shape_of(FIELDS, replace(make_issuer(), authority_id="another")) != shape
