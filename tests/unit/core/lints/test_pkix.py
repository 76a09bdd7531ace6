"""pkilint runs in process; findings that we do not share are accepted one by one, never by code alone."""

from __future__ import annotations

from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_server.core.lints import Severity, blocking
from ca_server.core.lints.accepted import ACCEPTED, is_accepted
from ca_server.core.lints.pkix import lint_certificate, lint_crl, lint_ocsp_response
from tests.fakes.paper_authority import NOW, dns, grant, issuer_key, make_csr, make_issuer
from tests.fakes.spoiled_certificates import build


def codes(findings):
    return {finding.code for finding in blocking(findings)}


def test_a_certificate_without_key_identifiers_is_found():
    assert codes(lint_certificate(build().twin)) == set()
    wrong = build(drop=x509.SubjectKeyIdentifier).twin
    assert codes(lint_certificate(wrong)) == {"pkix.certificate_skid_end_entity_missing"}


def test_a_crl_without_number_is_found():
    naive = NOW.replace(tzinfo=None)
    builder = x509.CertificateRevocationListBuilder().issuer_name(make_issuer().certificate.subject)
    builder = builder.last_update(naive).next_update(datetime(2026, 12, 1))
    crl = builder.sign(issuer_key(), hashes.SHA256()).public_bytes(Encoding.DER)
    assert codes(lint_crl(crl))


def test_an_ocsp_response_is_read():
    issuer = make_issuer().certificate
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            issuer, issuer, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, NOW, NOW.replace(year=2027), None, None
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
        .sign(issuer_key(), hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    assert "LINT-DECODE" not in codes(lint_ocsp_response(response))


@pytest.mark.parametrize("lint", [lint_certificate, lint_crl, lint_ocsp_response])
@pytest.mark.parametrize("data", [b"", b"\x00", b"0\x03\x02\x01\x01", b"nonsense"])
def test_what_cannot_be_decoded_is_a_finding(lint, data):
    findings = lint(data)
    assert findings
    assert findings[0].severity is Severity.FATAL
    assert findings[0].code == "LINT-DECODE"


def test_each_acceptance_has_its_reason():
    assert all(len(acceptance.reason) > 40 for acceptance in ACCEPTED.values())


@pytest.mark.parametrize(
    ("code", "detail", "accepted"),
    [
        ("pkix.invalid_domain_name_syntax", 'Invalid domain name syntax: "localhost"', True),
        ("pkix.invalid_domain_name_syntax", 'Invalid domain name syntax: "*.example.com"', True),
        ("pkix.invalid_domain_name_syntax", 'Invalid domain name syntax: "a..b"', False),
        ("pkix.invalid_domain_name_syntax", 'Invalid domain name syntax: "Upper.example.com"', False),
        ("pkix.invalid_domain_name_syntax", "something else", False),
        ("pkix.invalid_uri_syntax", 'Invalid URI syntax: "spiffe://example.org/a"', True),
        ("pkix.invalid_uri_syntax", 'Invalid URI syntax: "http://localhost:8080/crl/a.crl"', True),
        ("pkix.invalid_uri_syntax", 'Invalid URI syntax: "spiffe://example.org/../a"', False),
        ("pkix.invalid_email_address_syntax", 'Invalid e-mail address syntax: "bob@host"', True),
        ("pkix.invalid_email_address_syntax", 'Invalid e-mail address syntax: "bob"', False),
        ("pkix.another_finding", 'Invalid URI syntax: "spiffe://example.org/a"', False),
    ],
)
def test_an_acceptance_holds_where_our_own_reading_agrees(code, detail, accepted):
    assert is_accepted(code, detail) is accepted


def test_internal_names_pass_and_nothing_else_is_hidden():
    fields = grant("tls-server", make_csr(dns("localhost", "host.internal")))
    assert fields.identifiers
    san = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("a..b")])
    wrong = build(drop=x509.SubjectAlternativeName, add=[(san, True)]).twin
    assert codes(lint_certificate(wrong)) == {"pkix.invalid_domain_name_syntax"}
