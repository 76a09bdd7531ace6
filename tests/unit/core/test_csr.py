"""A CSR is read strictly: each way in which one can be wrong has its own rule, and nothing else comes out."""

from __future__ import annotations

import base64
import hashlib

import pytest
from asn1crypto.csr import CertificationRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID

from ca_server.core.csr import MAX_CSR_BYTES, parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import csr_der, dns, ip, make_key, subject


def pem(der, label="CERTIFICATE REQUEST"):
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def refused(data, rule_id, kind=Kind.BAD_CSR):
    with pytest.raises(CaError) as caught:
        parse_csr(data)
    assert caught.value.kind is kind
    assert caught.value.rule_ids == (rule_id,)


def test_what_a_csr_says():
    der = csr_der(
        [*dns("B.example.com", "a.example.com"), *ip("10.0.0.1")], name=subject(common_name="a.example.com")
    )
    csr = parse_csr(der)
    spki = csr.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert csr.der == der
    assert csr.key_type is KeyType.EC_P256
    assert csr.spki_sha256 == hashlib.sha256(spki).hexdigest()
    assert {str(each) for each in csr.identifiers} == {
        "dns:a.example.com",
        "dns:b.example.com",
        "ip:10.0.0.1",
    }
    assert csr.subject == subject(common_name="a.example.com")
    assert [each.oid.dotted_string for each in csr.extensions] == ["2.5.29.17"]


@pytest.mark.parametrize("key_type", [each for each in KeyType if not each.startswith("ml-")])
def test_every_key_type_is_read(key_type):
    assert parse_csr(csr_der(dns("a.example.com"), key=make_key(key_type))).key_type is key_type


@pytest.mark.parametrize("label", ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
def test_pem_and_der_are_the_same(label):
    der = csr_der(dns("a.example.com"))
    assert parse_csr(pem(der, label)).der == der
    assert parse_csr(b"\n" + pem(der, label).replace(b"\n", b"\r\n") + b"\n\n").der == der


def test_text_before_the_block_is_passed_over():
    der = csr_der(dns("a.example.com"))
    assert parse_csr(b"PKCS #10 Certificate Request Information:\n\tVersion: 1\n\n" + pem(der)).der == der


def test_r3_an_empty_list_of_purposes_is_refused():
    empty = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.37"), b"0\x00")
    refused(csr_der(dns("a.example.com"), extensions=(empty,)), "CSR-ENCODING")


def test_size_is_looked_at_before_anything_is_parsed():
    refused(b"0" * (MAX_CSR_BYTES + 1), "CSR-SIZE")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda der: b"",
        lambda der: b"garbage",
        lambda der: der[:-1],
        lambda der: der + b"\x00",
        lambda der: pem(der) + pem(der),
        lambda der: pem(b"0\x00") + pem(der),
        lambda der: pem(der) + b"text after",
        lambda der: pem(der, "CERTIFICATE"),
        lambda der: pem(der).replace(b"END CERTIFICATE", b"END NEW CERTIFICATE"),
        lambda der: b"-----BEGIN CERTIFICATE REQUEST-----\nA\n-----END CERTIFICATE REQUEST-----\n",
        lambda der: b"-----BEGIN CERTIFICATE REQUEST-----\n\xff\n-----END CERTIFICATE REQUEST-----\n",
        lambda der: b"0\x80" + der[2:],
        lambda der: b"0\x00",
    ],
)
def test_what_is_no_csr_is_refused(spoil):
    refused(spoil(csr_der(dns("a.example.com"))), "CSR-ENCODING")


def test_a_csr_signed_by_another_key_is_refused():
    der = bytearray(csr_der(dns("a.example.com")))
    der[der.index(b"a.example.com")] = ord("b")
    refused(bytes(der), "CSR-SIGNATURE")


def test_a_weak_digest_proves_nothing():
    key = make_key(KeyType.RSA_2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    sha256_with_rsa = bytes.fromhex("2a864886f70d01010b")
    sha1_with_rsa = bytes.fromhex("2a864886f70d010105")
    spoiled = der.replace(sha256_with_rsa, sha1_with_rsa)
    assert spoiled != der
    refused(spoiled, "CSR-SIGNATURE-ALGORITHM")


@pytest.mark.parametrize(
    ("make", "rule_id"),
    [
        (lambda: ec.generate_private_key(ec.SECP256K1()), "KEY-TYPE"),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "KEY-TYPE"),
        (lambda: rsa.generate_private_key(65537, 1024), "KEY-RSA-SIZE"),
        (lambda: rsa.generate_private_key(65537, 2056), "KEY-RSA-SIZE"),
        (lambda: dsa.generate_private_key(2048), "KEY-TYPE"),
    ],
)
def test_a_key_of_another_type_or_size_is_refused(make, rule_id):
    refused(csr_der(dns("a.example.com"), key=make()), rule_id, Kind.BAD_PUBLIC_KEY)


def test_ed448_is_refused():
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    der = builder.sign(ed448.Ed448PrivateKey.generate(), None).public_bytes(Encoding.DER)
    refused(der, "KEY-TYPE", Kind.BAD_PUBLIC_KEY)


def test_a_point_off_the_curve_is_refused():
    key = make_key(KeyType.EC_P256)
    der = csr_der(dns("a.example.com"), key=key)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    spoiled = der.replace(point, point[:-1] + bytes([point[-1] ^ 1]))
    refused(spoiled, "CSR-KEY-UNSUPPORTED", Kind.BAD_PUBLIC_KEY)


def test_an_even_exponent_is_refused():
    key = make_key(KeyType.RSA_2048)
    spoiled = csr_der(dns("a.example.com"), key=key).replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x02")
    refused(spoiled, "CSR-KEY-UNSUPPORTED", Kind.BAD_PUBLIC_KEY)


def test_a_compressed_point_is_refused():
    key = make_key(KeyType.EC_P256)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = spki[2:23]
    compressed = element(0x30, algorithm + element(0x03, b"\x00" + point))
    refused(rebuilt(csr_der(key=key), spki, compressed), "CSR-KEY-ENCODING", Kind.BAD_PUBLIC_KEY)


def test_an_extension_asked_for_twice_is_refused():
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    san = x509.SubjectAlternativeName(dns("a.example.com"))
    other = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.37"), b"0\x00")
    builder = builder.add_extension(san, critical=False).add_extension(other, critical=False)
    der = builder.sign(make_key(KeyType.EC_P256), hashes.SHA256()).public_bytes(Encoding.DER)
    # The signature is checked first, so it has to be made over the doubled extension.
    refused(resigned(der.replace(b"\x55\x1d\x25", b"\x55\x1d\x11")), "CSR-EXTENSION-DUPLICATE")


def test_an_attribute_that_stands_twice_is_refused():
    unstructured = x509.ObjectIdentifier("1.2.840.113549.1.9.2")
    der = csr_der(
        dns("a.example.com"),
        attributes=((AttributeOID.CHALLENGE_PASSWORD, b"two"), (unstructured, b"one")),
    )
    doubled = der.replace(bytes.fromhex("2a864886f70d010902"), bytes.fromhex("2a864886f70d010907"))
    refused(resigned(doubled), "CSR-ATTRIBUTE-DUPLICATE")


def test_a_challenge_password_is_let_through():
    der = csr_der(dns("a.example.com"), attributes=((AttributeOID.CHALLENGE_PASSWORD, b"secret"),))
    assert len(parse_csr(der).identifiers) == 1


def test_an_empty_subject_alternative_name_is_refused():
    refused(csr_der(extensions=(x509.SubjectAlternativeName([]),)), "CSR-SAN")


def test_a_name_of_an_unsupported_type_is_refused():
    der = csr_der(dns("aaa"))
    # ediPartyName [5] in place of dNSName [2], same length.
    refused(resigned(der.replace(b"\x82\x03aaa", b"\xa5\x03aaa")), "CSR-SAN")


def test_every_bad_name_is_told():
    with pytest.raises(CaError) as caught:
        parse_csr(csr_der([*dns("a..b", "ok.example.com"), x509.RFC822Name("no-at-sign")]))
    assert caught.value.kind is Kind.BAD_CSR
    assert sorted(caught.value.rule_ids) == ["NAME-DNS", "NAME-EMAIL"]


def test_the_same_name_twice_is_one_name():
    csr = parse_csr(csr_der(dns("a.example.com", "A.example.com")))
    assert [str(each) for each in csr.identifiers] == ["dns:a.example.com"]


def test_a_huge_exponent_is_refused_before_its_signature_is_verified():
    key = make_key(KeyType.RSA_2048)
    numbers = rsa.RSAPublicNumbers((1 << 300) + 1, key.public_key().public_numbers().n)
    spki = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    old = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    refused(rebuilt(csr_der(key=key), old, spki), "KEY-RSA-EXPONENT", Kind.BAD_PUBLIC_KEY)


def test_a_subject_that_cannot_be_read_is_refused():
    der = csr_der(name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "abc")]))
    refused(resigned(der.replace(b"\x0c\x03abc", b"\x0c\x03\xff\xfe\xfd")), "CSR-ENCODING")


def resigned(der):
    """The same request info, signed anew by the P-256 key of these tests."""
    return rebuilt(der, b"", b"")


def rebuilt(der, old, new):
    """The request with some bytes of its info replaced, lengths set right and signed anew."""
    info = CertificationRequest.load(der)["certification_request_info"].contents
    info = element(0x30, info.replace(old, new, 1) if old else info)
    signature = make_key(KeyType.EC_P256).sign(info, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return element(0x30, info + algorithm + element(0x03, b"\x00" + signature))


def element(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
