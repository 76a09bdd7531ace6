"""Every kind that certifies, from its ready script: what it makes, and that both verifiers accept it."""

from __future__ import annotations

import sys

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_server.core.bundle import read_bundle
from ca_server.core.ceremony.verify import verify_bundle
from tests.fixtures.commands import run

pytestmark = pytest.mark.hsm

KINDS = (
    "first-hierarchy",
    "root-generate",
    "subordinate-key",
    "intermediate-sign",
    "cross-csr",
    "cross-sign",
    "root-crl",
    "revoke-subordinate",
    "delegated-signer",
    "rotate",
)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def crl_of(held, name="crls/root-r1.crl"):
    return x509.load_der_x509_crl(held.file(name).read_bytes())


@pytest.mark.parametrize("kind", KINDS)
def test_both_verifiers_accept_the_bundle(certified_kinds, kind):
    bundle = certified_kinds[kind].bundle
    assert verify_bundle(bundle.read_bytes()).bundle.manifest.kind == kind
    done = run(sys.executable, "ops/auditor/verify_ceremony.py", str(bundle))
    assert "good" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_every_signature_was_approved_by_key_officers_and_a_witness(certified_kinds, kind):
    lines = certified_kinds[kind].lines()
    signed = [line["data"] for line in lines if line["event"] == "effect" and "output" in line["data"]]
    approvals = [line["data"] for line in lines if line["data"].get("gate") == "approve"]
    assert signed
    assert len({each["input"] for each in signed}) == len(signed)
    assert len(approvals) >= 3 * len(signed)


def test_a_subordinate_key_makes_a_request_that_its_key_signed(certified_kinds):
    held = certified_kinds["subordinate-key"]
    request = x509.load_der_x509_csr(held.file("csrs/issuing-i2.csr").read_bytes())
    bundle = read_bundle(held.bundle.read_bytes())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=REHEARSAL Example Works Issuing CA I2,O=Example Works"
    assert [key.label for key in bundle.keys] == ["issuing-i2"]
    assert bundle.manifest.authorities == ()


def test_an_intermediate_has_the_key_of_the_request_and_the_limits_of_the_script(certified_kinds):
    held = certified_kinds["intermediate-sign"]
    certificate = held.certificate("authorities/issuing-i2.cer")
    request = x509.load_der_x509_csr(
        certified_kinds["subordinate-key"].file("csrs/issuing-i2.csr").read_bytes()
    )
    assert certificate.public_key() == request.public_key()
    assert extension(certificate, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    root = certified_kinds["first-hierarchy"].certificate("authorities/root-r1.cer")
    certificate.verify_directly_issued_by(root)


def test_the_next_crl_has_the_next_number_and_every_entry(certified_kinds):
    crls = [crl_of(certified_kinds[kind]) for kind in ("first-hierarchy", "root-crl", "revoke-subordinate")]
    assert [extension(crl, x509.CRLNumber).crl_number for crl in crls] == [1, 2, 3]
    assert [len(crl) for crl in crls] == [0, 0, 1]
    assert all(extension(crl, x509.IssuingDistributionPoint).only_contains_ca_certs for crl in crls)
    (entry,) = crls[-1]
    issuing = certified_kinds["first-hierarchy"].certificate("authorities/issuing-i1.cer")
    assert entry.serial_number == issuing.serial_number
    assert extension(entry, x509.CRLReason).reason is x509.ReasonFlags.cessation_of_operation


def test_a_delegated_signer_and_a_log_key_come_with_their_uris_and_the_verifier_key(certified_kinds):
    held = certified_kinds["delegated-signer"]
    manifest = read_bundle(held.bundle.read_bytes()).manifest
    certificate = held.certificate("responders/issuing-i1.cer")
    assert list(extension(certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    assert manifest.responders[0].key_uri.startswith("pkcs11:token=REHEARSAL-ocsp;object=ocsp-i1-2")
    assert manifest.log.vkey == held.file("keys/log-2.vkey").read_text().strip()
    assert manifest.log.vkey.startswith("localhost/ca-audit/2+")


def test_a_cross_certificate_is_like_the_one_that_is_there(certified_kinds):
    cross = certified_kinds["cross-sign"].certificate("certificates/root-x1-by-root-r1.cer")
    existing = certified_kinds["root-generate"].certificate("authorities/root-r1.cer")
    assert cross.subject.public_bytes() == existing.subject.public_bytes()
    for kind in (x509.SubjectKeyIdentifier, x509.BasicConstraints, x509.KeyUsage):
        assert extension(cross, kind) == extension(existing, kind)
    assert cross.not_valid_before_utc >= existing.not_valid_before_utc
    assert cross.serial_number != existing.serial_number


def test_links_join_the_old_and_the_new_root_for_as_long_as_both_are_valid(certified_kinds):
    held = certified_kinds["rotate"]
    old = certified_kinds["first-hierarchy"].certificate("authorities/root-r1.cer")
    new = held.certificate("authorities/root-r2.cer")
    new_with_old = held.certificate("certificates/root-r2-by-root-r1.cer")
    old_with_new = held.certificate("certificates/root-r1-by-root-r2.cer")
    for link, subject, issuer in ((new_with_old, new, old), (old_with_new, old, new)):
        link.verify_directly_issued_by(issuer)
        assert link.public_key() == subject.public_key()
        assert link.not_valid_before_utc == subject.not_valid_before_utc
        assert link.not_valid_after_utc == min(old.not_valid_after_utc, new.not_valid_after_utc)
    roles = {each.name: each.role for each in read_bundle(held.bundle.read_bytes()).manifest.certificates}
    assert roles == {"root-r2-by-root-r1": "link", "root-r1-by-root-r2": "link"}
