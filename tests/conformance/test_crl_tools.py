"""CRLs as other people's tools read them: OpenSSL and GnuTLS, chains with revocation checked, pkilint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.assemble import assemble_crl
from ca_server.core.authorization import Principal, Role
from ca_server.core.crl import REASONS, CrlIssuer, build_crl
from ca_server.core.lints.pkix import lint_crl
from ca_server.core.signatures import SignatureAlgorithm
from ca_server.services.publish_crl import CrlSettings, publish_due_crls
from ca_server.services.published import read_crl
from ca_server.services.revoke import revoke_certificate
from tests.fakes.clock import SetClock
from tests.fakes.stored import ISSUING, ROOT
from tests.fixtures.commands import tool

OFFICER = Principal("token:officer", Role.OFFICER, "token")


@pytest.fixture
def clock():
    """The tools look at the machine's clock, so this one starts there, an hour late for both CRLs."""
    return SetClock(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))  # noqa: TID251


class Files:
    """What a relying party has, as PEM files in one folder."""

    def __init__(self, hierarchy, folder) -> None:
        self.folder = folder
        self.root = self.certificate("root.pem", hierarchy.root)
        self.issuer = self.certificate("issuer.pem", hierarchy.issuer)
        der = read_crl(hierarchy.context, ISSUING)[1]
        self.crl = self.write("issuing.crl", der)
        self.crl_pem = self.write("issuing.pem", x509.load_der_x509_crl(der).public_bytes(Encoding.PEM))
        self.root_crl = self.write("root.crl", root_crl(hierarchy))

    def certificate(self, name, certificate) -> str:
        return self.write(name, certificate.public_bytes(Encoding.PEM))

    def write(self, name, data) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)


def root_crl(hierarchy) -> bytes:
    """The root's own CRL, which a ceremony makes, by the same function."""
    issuer = CrlIssuer(hierarchy.root, SignatureAlgorithm.ECDSA_SHA256)
    now = hierarchy.context.clock.now()
    unsigned = build_crl(issuer, [], 1, now, now + timedelta(days=180))
    return assemble_crl(unsigned.tbs, hierarchy.store.signer(label=ROOT).sign(unsigned.tbs, issuer.algorithm))


@pytest.fixture
def revoked(hierarchy):
    """One certificate for each reason, revoked for it."""
    leaves = {}
    for number, reason in enumerate(REASONS):
        leaves[reason] = hierarchy.issue(f"w{number}.example.test")
        lost = hierarchy.context.clock.now() - timedelta(days=1) if reason == "keyCompromise" else None
        revoke_certificate(hierarchy.context, OFFICER, leaves[reason].id, reason, lost)
    publish_due_crls(hierarchy.context, hierarchy.signers, CrlSettings())
    return leaves


@pytest.fixture
def files(hierarchy, revoked, tmp_path):
    return Files(hierarchy, tmp_path)


def test_openssl_reads_and_verifies_the_crl(files, revoked):
    done = tool("openssl", "crl", "-in", files.crl, "-noout", "-text", "-CAfile", files.issuer)
    assert "verify OK" in done.stdout + done.stderr
    for leaf in revoked.values():
        assert f"{leaf.certificate.serial_number:X}" in done.stdout
    for word in ("Key Compromise", "Certificate Hold", "Superseded", "Invalidity Date", "X509v3 CRL Number"):
        assert word in done.stdout


def test_gnutls_reads_and_verifies_the_crl(files, revoked):
    done = tool(
        "certtool",
        "--verify-crl",
        f"--load-ca-certificate={files.issuer}",
        f"--infile={files.crl_pem}",
    )
    assert "Verified" in done.stdout
    told = tool("certtool", "--crl-info", "--inder", f"--infile={files.crl}").stdout
    assert f"Revoked certificates ({len(revoked)})" in told


def test_openssl_checks_a_whole_chain(files, revoked, hierarchy):
    good = files.certificate("good.pem", hierarchy.issue("good.example.test").certificate)
    crls = ("-CRLfile", files.crl, "-CRLfile", files.root_crl)
    chain = ("-CAfile", files.root, "-untrusted", files.issuer)
    assert "OK" in tool("openssl", "verify", "-crl_check_all", *crls, *chain, good).stdout
    for reason, leaf in revoked.items():
        bad = files.certificate("bad.pem", leaf.certificate)
        done = tool("openssl", "verify", "-crl_check_all", *crls, *chain, bad, check=False)
        assert done.returncode == 2, reason
        assert "certificate revoked" in done.stderr


def test_gnutls_checks_a_whole_chain(files, revoked, hierarchy, tmp_path):
    good = hierarchy.issue("good.example.test").certificate
    for certificate, expected in ((good, "Verified"), (revoked["superseded"].certificate, "revoked")):
        chain = files.write(
            "chain.pem",
            certificate.public_bytes(Encoding.PEM) + hierarchy.issuer.public_bytes(Encoding.PEM),
        )
        done = tool(
            *("certtool", "--verify", f"--load-ca-certificate={files.root}"),
            *(f"--load-crl={files.crl_pem}", f"--infile={chain}"),
            check=False,
        )
        assert expected in done.stdout, done.stdout


@pytest.mark.parametrize("count", [0, 1, 50])
def test_pkilint_finds_nothing_in_a_whole_crl(hierarchy, count):
    for number in range(count):
        leaf = hierarchy.issue(f"w{number}.example.test")
        revoke_certificate(hierarchy.context, OFFICER, leaf.id, list(REASONS)[number % len(REASONS)])
    publish_due_crls(hierarchy.context, hierarchy.signers, CrlSettings())
    assert lint_crl(read_crl(hierarchy.context, ISSUING)[1]) == ()
