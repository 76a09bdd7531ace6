"""The CSR's challengePassword is read strictly, and by a CSR of OpenSSL too."""

from __future__ import annotations

import subprocess

import pytest
from asn1crypto.csr import CertificationRequest, CertificationRequestInfo
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AttributeOID

from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.channel_binding import challenge_password
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import csr_der, dns, make_csr, make_key

BINDING = "+/8pQ2m0Zb0e5n4bTz1sVw=="


def with_password(value):
    return make_csr(dns("a.example.com"), attributes=((AttributeOID.CHALLENGE_PASSWORD, value),))


def with_type(tag):
    """A CSR whose password is of another ASN.1 type, signed by its key all the same."""
    der = csr_der(dns("a.example.com"), attributes=((AttributeOID.CHALLENGE_PASSWORD, b"abcd"),))
    request = CertificationRequest.load(der)
    info = request["certification_request_info"].dump().replace(b"\x0c\x04abcd", bytes([tag]) + b"\x04abcd")
    signature = make_key(KeyType.EC_P256).sign(info, ec.ECDSA(hashes.SHA256()))
    parts = {
        "certification_request_info": CertificationRequestInfo.load(info),
        "signature_algorithm": request["signature_algorithm"],
        "signature": signature,
    }
    return parse_csr(CertificationRequest(parts).dump())


def refused(csr):
    with pytest.raises(CaError) as caught:
        challenge_password(csr)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.BAD_CSR, ("CSR-CHALLENGE-PASSWORD",))


def test_no_attribute_is_no_password():
    assert challenge_password(make_csr(dns("a.example.com"))) is None


def test_the_text_is_given_as_it_is():
    assert challenge_password(with_password(BINDING.encode())) == BINDING


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x16])
def test_each_type_of_text_that_clients_use_is_read(tag):
    assert challenge_password(with_type(tag)) == "abcd"


@pytest.mark.parametrize("tag", [0x04, 0x02, 0x1E, 0x1C, 0x0A])
def test_what_is_no_text_is_refused(tag):
    refused(with_type(tag))


@pytest.mark.parametrize("value", [b"", b"x" * 256, b"a\x00b", b"a\nb", "ä".encode(), b"\x7f"])
def test_what_is_no_printable_ascii_is_refused(value):
    refused(with_password(value))


def test_a_request_of_openssl(tmp_path):
    config = tmp_path / "req.cnf"
    config.write_text(
        "[req]\nprompt = no\ndistinguished_name = dn\nattributes = attributes\n"
        f"[dn]\nCN = a.example.com\n[attributes]\nchallengePassword = {BINDING}\n"
    )
    key = tmp_path / "key.pem"
    made = ["openssl", "req", "-new", "-config", config, "-newkey", "rsa:2048", "-nodes", "-keyout", key]
    run = subprocess.run(made, capture_output=True, check=True)
    assert challenge_password(parse_csr(run.stdout)) == BINDING
