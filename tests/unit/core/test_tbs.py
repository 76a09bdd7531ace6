"""The bytes to be signed: every shipped profile, linted by others, and by openssl where it can."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca_server.core.assemble import assemble_certificate
from ca_server.core.authorization import Role
from ca_server.core.lints import blocking
from ca_server.core.lints.house import lint_house
from ca_server.core.lints.pkix import lint_certificate
from ca_server.core.policy import IssuerFacts
from ca_server.core.signatures import KeyType, SignatureAlgorithm
from ca_server.core.tbs import build_certificate
from tests.fakes.paper_authority import (
    SERIAL,
    dns,
    grant,
    issuer_key,
    make_csr,
    make_facts,
    make_issuer,
    make_key,
    policies,
    subject,
)
from tests.fakes.paper_profiles import ACCEPTABLE, own_profile

GOLDEN = [
    *ACCEPTABLE,
    ("tls-server-eab", dns("host.internal", "*.apps.internal"), None),
    ("tls-peer-approved", dns("node1.example.test"), None),
    ("subordinate-ca", (), subject(common_name="Department CA")),
]


def build(profile, csr, issuer=None, **options):
    issuer = issuer or make_issuer()
    facts = make_facts(issuer=issuer, approvals=2)
    known = policies().profile(profile) if isinstance(profile, str) else profile
    protocol = known.requesters.protocols[0]
    fields = grant(known, csr, role=Role.OFFICER, protocol=protocol, facts=facts, **options)
    return fields, build_certificate(fields, issuer, SERIAL)


@pytest.mark.parametrize(
    ("name", "names", "asked", "key_type"),
    [(*each, key_type) for each in GOLDEN for key_type in policies().profile(each[0]).keys.allowed],
)
def test_every_shipped_profile_is_clean_to_pkilint_and_to_us(name, names, asked, key_type):
    fields, unsigned = build(name, make_csr(names, name=asked, key=make_key(key_type)))
    assert blocking(lint_certificate(unsigned.twin)) == ()
    assert lint_house(unsigned, fields, make_issuer()) == ()


def test_every_shipped_profile_is_covered():
    assert {name for name, _, _ in GOLDEN} == policies().names


def test_what_is_signed_is_what_was_recorded():
    fields, unsigned = build("tls-server", make_csr(dns("a.example.com")))
    key = issuer_key()
    signature = key.sign(unsigned.tbs, ec.ECDSA(hashes.SHA256()))
    certificate = x509.load_der_x509_certificate(assemble_certificate(unsigned.tbs, signature))
    certificate.verify_directly_issued_by(make_issuer().certificate)
    assert certificate.serial_number == SERIAL
    assert certificate.not_valid_before_utc == fields.not_before
    assert certificate.not_valid_after_utc == fields.not_after


def extensions(profile, csr, **options):
    _, unsigned = build(profile, csr, **options)
    return x509.load_der_x509_certificate(unsigned.twin).extensions


def test_the_names_are_critical_exactly_when_the_subject_is_empty():
    bare = extensions("tls-server", make_csr(dns("a.example.com")))
    assert bare.get_extension_for_class(x509.SubjectAlternativeName).critical
    named = extensions(
        "tls-server", make_csr(dns("a.example.com"), name=subject(common_name="a.example.com"))
    )
    assert not named.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_where_to_ask_about_revocation():
    found = extensions("tls-server", make_csr(dns("a.example.com")))
    points = found.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name] == list(make_issuer().crl_urls)
    access = found.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert {each.access_method: each.access_location.value for each in access} == {
        AuthorityInformationAccessOID.OCSP: make_issuer().ocsp_urls[0],
        AuthorityInformationAccessOID.CA_ISSUERS: make_issuer().ca_issuer_urls[0],
    }


def test_a_responder_is_not_asked_about_itself():
    found = extensions("ocsp-signer", make_csr(name=subject(common_name="Responder")))
    assert found.get_extension_for_class(x509.OCSPNoCheck)
    with pytest.raises(x509.ExtensionNotFound):
        found.get_extension_for_class(x509.CRLDistributionPoints)


def test_every_extension_of_a_profile_reaches_the_certificate():
    profile = own_profile(
        "",
        more=(
            'extended_key_usage = ["server_auth"]',
            """\
extended_key_usage = ["server_auth", "1.2.3.4"]
must_staple = true
[[extensions.certificate_policies]]
oid = "1.3.6.1.4.1.32473.1"
cps = "https://example.com/cps"
""",
        ),
    )
    found = extensions(profile, make_csr(dns("a.example.com")))
    assert list(found.get_extension_for_class(x509.TLSFeature).value) == [x509.TLSFeatureType.status_request]
    (policy,) = found.get_extension_for_class(x509.CertificatePolicies).value
    assert policy.policy_identifier.dotted_string == "1.3.6.1.4.1.32473.1"
    assert policy.policy_qualifiers == ["https://example.com/cps"]
    purposes = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ObjectIdentifier("1.2.3.4") in purposes


def test_name_constraints_of_a_subordinate():
    text = own_profile(
        "",
        ca=(
            'key_usage = ["digital_signature"]\nextended_key_usage = ["server_auth"]',
            """\
key_usage = ["key_cert_sign"]
ca = true
path_length = 0
[extensions.name_constraints]
permitted = ["dns:example.com", "ip:10.0.0.0/8"]
excluded = ["dns:x.example.com"]
""",
        ),
    )
    found = extensions(text, make_csr(dns("a.example.com")))
    constraints = found.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees] == ["example.com", "10.0.0.0/8"]
    assert [str(name.value) for name in constraints.value.excluded_subtrees] == ["x.example.com"]
    assert found.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)


@pytest.mark.parametrize(
    ("key_type", "algorithm"),
    [
        (KeyType.RSA_2048, SignatureAlgorithm.RSA_SHA256),
        (KeyType.RSA_2048, SignatureAlgorithm.RSA_PSS_SHA384),
        (KeyType.EC_P384, SignatureAlgorithm.ECDSA_SHA384),
        (KeyType.ED25519, SignatureAlgorithm.ED25519),
    ],
)
def test_every_kind_of_authority_signs(key_type, algorithm):
    known = make_issuer(key_type=key_type)
    issuer = IssuerFacts(
        known.authority_id + algorithm,
        known.certificate,
        algorithm,
        known.crl_urls,
        known.ocsp_urls,
        known.ca_issuer_urls,
    )
    fields, unsigned = build("tls-server", make_csr(dns("a.example.com")), issuer)
    twin = x509.load_der_x509_certificate(unsigned.twin)
    assert unsigned.algorithm is algorithm
    assert isinstance(twin.signature_algorithm_parameters, padding.PSS) is algorithm.is_pss
    assert lint_house(unsigned, fields, issuer) == ()


def test_an_algorithm_that_does_not_fit_the_key_is_our_bug():
    known = make_issuer()
    issuer = IssuerFacts(
        "x", known.certificate, SignatureAlgorithm.RSA_SHA256, (), ("http://ocsp.test/",), ()
    )
    with pytest.raises(ValueError, match="signature"):
        build("tls-server", make_csr(dns("a.example.com")), issuer)


def test_times_after_2049_are_written_as_they_are():
    issuer = make_issuer(days=365 * 40)
    profile = own_profile("", long=('max = "90d"', 'max = "14000d"'))
    end = datetime(2060, 1, 1, tzinfo=UTC)
    _, unsigned = build(profile, make_csr(dns("a.example.com")), issuer, not_after=end)
    twin = x509.load_der_x509_certificate(unsigned.twin)
    assert twin.not_valid_after_utc == end
    assert blocking(lint_certificate(unsigned.twin)) == ()
    assert twin.not_valid_before_utc.utcoffset() == timedelta(0)
