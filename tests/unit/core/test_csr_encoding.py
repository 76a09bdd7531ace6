"""Attributes in any order are read as if they were sorted; nothing else of a CSR may be out of order."""

from __future__ import annotations

import subprocess

import pytest
from asn1crypto import core
from asn1crypto.csr import CertificationRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_server.core.csr import parse_csr
from ca_server.core.csr_encoding import is_signed, load_request, to_pem
from ca_server.core.errors import CaError
from ca_server.core.est.channel_binding import challenge_password
from ca_server.core.est.server_key_request import read_server_key_request
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import csr_der, dns, make_key
from tests.fakes.unordered_requests import PASSWORD, strongswan_csr, unordered

NAMES = dns("a.example.com")


def refused(der, rule_id):
    with pytest.raises(CaError) as caught:
        parse_csr(der)
    assert caught.value.rule_ids == (rule_id,)


@pytest.mark.parametrize("key_type", [each for each in KeyType if not each.startswith("ml-")])
def test_attributes_in_another_order_are_read(key_type):
    der = strongswan_csr(NAMES, key=make_key(key_type))
    with pytest.raises(ValueError, match="InvalidSetOrdering"):
        x509.load_der_x509_csr(der)
    csr = parse_csr(der)
    assert csr.der == der
    assert {str(each) for each in csr.identifiers} == {"dns:a.example.com"}
    assert challenge_password(csr) == "foobar"
    assert read_server_key_request(der).challenge_password == b"foobar"


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.RSA_2048])
def test_what_strongswan_writes_is_read(tmp_path, key_type):
    """The program itself, with a challengePassword."""
    key = make_key(key_type)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pkcs8)
    order = "pki --req --in key --type priv --dn CN=a.example.com --san a.example.com --password foobar"
    der = subprocess.run(order.split(), cwd=tmp_path, check=True, capture_output=True).stdout
    csr = parse_csr(der)
    assert csr.public_key == key.public_key()
    assert {str(each) for each in csr.identifiers} == {"dns:a.example.com"}
    assert challenge_password(csr) == "foobar"


def test_a_signature_over_the_sorted_form_is_none():
    """What is signed are the bytes that came: whoever sorts them has to sign anew."""
    key = make_key(KeyType.RSA_2048)
    in_order = CertificationRequest.load(csr_der(NAMES, key=key, attributes=(PASSWORD,)))
    der = strongswan_csr(NAMES, key=key)
    spoiled = der[: -len(in_order["signature"].native)] + in_order["signature"].native
    assert load_request(spoiled).is_signature_valid
    refused(spoiled, "CSR-SIGNATURE")


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.RSA_2048, KeyType.ED25519])
def test_another_keys_signature_is_none(key_type):
    key, other = make_key(key_type), make_key(KeyType.EC_P384)
    names = csr_der(NAMES, key=key, attributes=(PASSWORD,))
    refused(unordered(names, rsa.generate_private_key(65537, 2048)), "CSR-SIGNATURE")
    refused(unordered(names, other), "CSR-SIGNATURE")


def test_a_bit_changed_in_an_attribute_is_found():
    der = bytearray(strongswan_csr(NAMES, key=make_key(KeyType.EC_P256)))
    der[der.index(b"foobar")] ^= 1
    refused(bytes(der), "CSR-SIGNATURE")


def test_an_algorithm_of_another_kind_of_key_is_refused():
    key = make_key(KeyType.ED25519)
    ecdsa = csr_der(NAMES, key=make_key(KeyType.EC_P256), attributes=(PASSWORD,))
    request = CertificationRequest.load(csr_der(NAMES, key=key, attributes=(PASSWORD,)))
    request["signature_algorithm"] = CertificationRequest.load(ecdsa)["signature_algorithm"]
    refused(unordered(request.dump(force=True), key), "CSR-SIGNATURE")


@pytest.mark.parametrize(("told", "used"), [(32, 32), (20, 20), (20, 32), (32, 20), (32, None)])
def test_pss_is_verified_as_its_parameters_say(told, used):
    key = make_key(KeyType.RSA_2048)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), told)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_attribute(*PASSWORD)
    builder = builder.add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
    ordered = builder.sign(key, hashes.SHA256(), rsa_padding=pss).public_bytes(Encoding.DER)
    der = unordered(ordered, key, salt=used)
    assert is_signed(der, load_request(der), key.public_key()) is (told == used)


def test_twice_the_same_attribute_is_still_refused():
    key = make_key(KeyType.EC_P256)
    request = CertificationRequest.load(csr_der(NAMES, key=key, attributes=(PASSWORD,)))
    attributes = request["certification_request_info"]["attributes"]
    attributes.append(attributes[0].copy())
    refused(unordered(request.dump(force=True), key), "CSR-ATTRIBUTE-DUPLICATE")


def test_nothing_else_may_be_out_of_order():
    """The values of one relative distinguished name are a SET too."""
    key = make_key(KeyType.EC_P256)
    der = csr_der(NAMES, key=key, attributes=(PASSWORD,))
    first = core.Sequence.load(bytes.fromhex("3008060355040a0c0162")).dump()
    second = core.Sequence.load(bytes.fromhex("3008060355040b0c0161")).dump()
    request = CertificationRequest.load(der)
    for values, is_read in ((first + second, True), (second + first, False)):
        name = b"\x30\x16\x31\x14" + values
        info = request["certification_request_info"]
        changed = info["version"].dump() + name + info["subject_pk_info"].dump() + info["attributes"].dump()
        body = b"\x30\x81" + bytes([len(changed)]) + changed
        whole = body + request["signature_algorithm"].dump() + request["signature"].dump()
        spoiled = b"\x30\x82" + len(whole).to_bytes(2, "big") + whole
        if is_read:
            assert parse_csr(unordered(spoiled, key)).der
        else:
            refused(spoiled, "CSR-ENCODING")
            refused(unordered(spoiled, key), "CSR-ENCODING")


def test_something_behind_the_request_is_still_refused():
    refused(strongswan_csr(NAMES, key=make_key(KeyType.EC_P256)) + b"\x00", "CSR-ENCODING")


def test_the_text_form_has_the_bytes_that_came(tmp_path):
    der = strongswan_csr(NAMES, key=make_key(KeyType.EC_P256))
    (tmp_path / "csr.pem").write_text(to_pem(der))
    order = "openssl req -in csr.pem -outform DER -verify"
    shown = subprocess.run(order.split(), cwd=tmp_path, check=True, capture_output=True)
    assert shown.stdout == der
    assert parse_csr(to_pem(der).encode()).der == der
