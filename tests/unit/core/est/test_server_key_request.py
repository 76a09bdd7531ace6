"""A CSR for a server-made key: its own key and signature are nobody's business (RFC 7030 §4.4.1)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.csr import MAX_CSR_BYTES
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.server_key_request import read_server_key_request
from ca_server.core.signatures import KeyType
from tests.fakes.key_requests import key_request
from tests.fakes.paper_authority import csr_der, make_key, subject

AES256, AES128 = "2.16.840.1.101.3.4.1.42", "2.16.840.1.101.3.4.1.2"


def asking(**more):
    return key_request("a.example.com", name=subject(common_name="a.example.com"), **more)


def refused(der, rule_id):
    with pytest.raises(CaError) as caught:
        read_server_key_request(der)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.BAD_CSR, (rule_id,))


def test_without_a_wish_the_key_travels_as_it_is():
    wanted = read_server_key_request(asking())
    assert wanted.subject == subject(common_name="a.example.com")
    assert [each.oid.dotted_string for each in wanted.extensions] == ["2.5.29.17"]
    assert (wanted.symmetric, wanted.asymmetric, wanted.capabilities) == (None, None, None)
    assert wanted.challenge_password is None
    assert wanted.key_type is KeyType.EC_P256


def test_the_wishes_are_read():
    wanted = read_server_key_request(asking(symmetric=b"secret-1", capabilities=(AES256, AES128)))
    assert wanted.symmetric == b"secret-1"
    assert wanted.capabilities == {AES256, AES128}
    # RC2 with the parameter that says how much of it.
    rc2 = bytes.fromhex("3010300e06082a864886f70d030202020080")
    assert read_server_key_request(asking(capabilities=rc2)).capabilities == {"1.2.840.113549.3.2"}
    assert read_server_key_request(asking(asymmetric=b"\x00\xff")).asymmetric == b"\x00\xff"


def test_the_signature_is_not_looked_at():
    der = asking()
    spoiled = der[:-4] + bytes(each ^ 0xFF for each in der[-4:])
    assert read_server_key_request(spoiled).key_type is KeyType.EC_P256


def test_a_key_of_any_kind_will_do():
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    weak = builder.sign(rsa.generate_private_key(65537, 1024), hashes.SHA256())
    assert read_server_key_request(weak.public_bytes(Encoding.DER)).key_type is None
    # A point that is on no curve.
    der = asking()
    start = der.index(b"\x00\x04") + 2
    assert read_server_key_request(der[:start] + bytes(32) + der[start + 32 :]).key_type is None


@pytest.mark.parametrize("value", ["30053003020101", "30023000", "0c046a756e6b"])
def test_capabilities_that_are_none_are_refused(value):
    refused(asking(capabilities=bytes.fromhex(value)), "CSR-ENCODING")


def test_a_wish_that_stands_twice_is_refused():
    unstructured = x509.ObjectIdentifier("1.2.840.113549.1.9.2")
    der = csr_der(attributes=((AttributeOID.CHALLENGE_PASSWORD, b"two"), (unstructured, b"one")))
    doubled = der.replace(bytes.fromhex("2a864886f70d010902"), bytes.fromhex("2a864886f70d010907"))
    refused(doubled, "CSR-ATTRIBUTE-DUPLICATE")


def test_size_is_looked_at_first():
    refused(bytes(MAX_CSR_BYTES + 1), "CSR-SIZE")


@given(st.binary(max_size=300))
def test_whatever_comes_is_one_kind_of_refusal(der):
    refused(der, "CSR-ENCODING")


def test_the_password_stays_out_of_sight():
    der = csr_der(
        key=make_key(KeyType.EC_P256), attributes=((AttributeOID.CHALLENGE_PASSWORD, b"very-secret"),)
    )
    wanted = read_server_key_request(der)
    assert wanted.challenge_password == b"very-secret"
    assert "very-secret" not in repr(wanted)
