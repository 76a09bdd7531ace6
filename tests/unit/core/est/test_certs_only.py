"""The certs-only message of RFC 7030 §4.1.3, read by OpenSSL and by a library that did not make it."""

from __future__ import annotations

import subprocess

from asn1crypto import cms
from cryptography import x509

from ca_server.core.est.certs_only import certs_only
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import make_issuer

CERTIFICATES = [make_issuer(days).certificate for days in (1, 2, 3)]


def test_openssl_reads_each_certificate_once():
    message = certs_only([*CERTIFICATES, CERTIFICATES[0]])
    run = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-print_certs"],
        input=message,
        capture_output=True,
        check=True,
    )
    assert set(x509.load_pem_x509_certificates(run.stdout)) == set(CERTIFICATES)
    assert run.stdout.count(b"BEGIN CERTIFICATE") == len(CERTIFICATES)


def test_it_signs_nothing():
    """RFC 5751 §3.2.2: id-data without content, no signer, no digest; version 1 of RFC 5652 §5.1."""
    info = cms.ContentInfo.load(certs_only(CERTIFICATES), strict=True)
    assert info["content_type"].native == "signed_data"
    signed = info["content"]
    assert signed["version"].native == "v1"
    assert signed["encap_content_info"]["content_type"].native == "data"
    assert signed["encap_content_info"]["content"].native is None
    assert (len(signed["digest_algorithms"]), len(signed["signer_infos"])) == (0, 0)


def test_the_bytes_are_der_whatever_the_order():
    message = certs_only(CERTIFICATES)
    assert certs_only(reversed(CERTIFICATES)) == message
    kept = [each.dump() for each in cms.ContentInfo.load(message)["content"]["certificates"]]
    assert kept == sorted(kept)


def test_other_keys_do_no_harm():
    other = make_issuer(key_type=KeyType.ED25519).certificate
    assert len(cms.ContentInfo.load(certs_only([other]))["content"]["certificates"]) == 1
