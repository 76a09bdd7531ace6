"""Keys made by the server, from the CSR to the key in a client's hands, opened by OpenSSL (RFC 7030 §4.4)."""

from __future__ import annotations

import subprocess

import pytest
from asn1crypto import cms, core, keys
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import AttributeOID

from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.key_package import key_encryption_key
from ca_server.core.est.server_key_request import read_server_key_request
from ca_server.core.signatures import KeyType, key_type_of
from ca_server.hsm import software
from ca_server.peer import Peer
from ca_server.services.est import server_keys
from ca_server.services.est.applicants import identify
from ca_server.services.est.server_keys import PLAIN, PROTECTED, PackageSigner, make_server_key
from ca_server.store import tables
from tests import world
from tests.fakes.key_requests import key_request
from tests.fakes.paper_authority import csr_der, dns, make_key, subject
from tests.fixtures.https import self_signed

AES128_WRAP, AES256_WRAP = "2.16.840.1.101.3.4.1.5", "2.16.840.1.101.3.4.1.45"
AES128_CBC, AES256_CBC = "2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.42"
PKCS1, OAEP = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.7"
SHA1_AGREEMENT = "1.3.133.16.840.63.0.2"
NAME = "printer.example.com"


class Makers:
    """Asks for keys as the door does, and opens what comes back."""

    def __init__(self, client, folder):
        self.client, self.folder = client, folder
        self.signer = PackageSigner(*self_signed(folder))

    def make(self, der, *, secret=None, certificate=None, profile="tls-peer", binding=None, signer=None):
        parts, wanted = self.client.parts, read_server_key_request(der)
        peer = Peer(certificate, lambda: binding)
        found = self.client.profile(profile)
        applicant = identify(parts, peer, secret, "192.0.2.9", found)
        return make_server_key(parts, applicant, found, wanted, signer or self.signer)

    def refused(self, *arguments, **more):
        with pytest.raises(CaError) as caught:
            self.make(*arguments, **more)
        return caught.value.kind, caught.value.rule_ids

    def holder(self, key_type):
        """A certificate of ours for a key of this type; its holder is found by the PEM file `key`."""
        key = make_key(key_type)
        csr = parse_csr(csr_der(dns(NAME), key=key))
        der = self.client.enrol(csr, secret=self.client.secret()).der
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "key").write_bytes(pem)
        (self.folder / "own").write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        return der

    def open(self, made, *arguments):
        """The PKCS #8 in a protected part: decrypted, and its signature by the server verified."""
        signed = self._openssl(made.key_part, "-decrypt", *arguments)
        message = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData.load(signed)})
        trusted = ("-CAfile", str(self.signer.chain), "-no_check_time", "-purpose", "any")
        package = self._openssl(message.dump(), "-verify", *trusted)
        (key,) = core.SequenceOf.load(package, spec=keys.PrivateKeyInfo)
        return key.dump()

    def _openssl(self, message, *arguments):
        (self.folder / "message").write_bytes(message)
        command = ["openssl", "cms", *arguments, "-inform", "DER", "-in", "message", "-out", "inside"]
        subprocess.run(command, cwd=self.folder, capture_output=True, check=True)
        return (self.folder / "inside").read_bytes()


@pytest.fixture
def makers(enrolling, tmp_path):
    return Makers(enrolling, tmp_path)


def require_pair(pkcs8, made):
    """The key is the certificate's, and the names are those asked for."""
    certificate = x509.load_der_x509_certificate(made.issued.der)
    assert load_der_private_key(pkcs8, None).public_key() == certificate.public_key()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    return certificate


def rid(certificate_der):
    certificate = x509.load_der_x509_certificate(certificate_der)
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


def test_a_key_travels_plain_where_nothing_else_is_asked_for(makers):
    made = makers.make(key_request(NAME, name=subject(common_name=NAME)), secret=makers.client.secret())
    assert made.media_type == PLAIN
    certificate = require_pair(made.key_part, made)
    assert certificate.subject == subject(common_name=NAME)
    world.check(makers.client.issuing.context.database)


@pytest.mark.parametrize(
    ("offered", "made_type"),
    [
        (KeyType.EC_P256, KeyType.EC_P256),
        (KeyType.EC_P384, KeyType.EC_P384),
        (KeyType.RSA_2048, KeyType.RSA_2048),
        # Not among the profile's server_keys: the first of them is made.
        (KeyType.ED25519, KeyType.EC_P256),
    ],
)
def test_the_type_of_the_csrs_key_is_taken_where_it_is_allowed(makers, offered, made_type):
    der = csr_der(dns(NAME), key=make_key(offered))
    made = makers.make(der, secret=makers.client.secret())
    certificate = require_pair(made.key_part, made)
    assert key_type_of(certificate.public_key()) is made_type
    assert certificate.public_key() != make_key(offered).public_key()


def test_neither_the_csrs_key_nor_its_signature_counts(makers):
    """RFC 7030 §4.4.1: they MUST be ignored; an identifier of that key is left behind with it."""
    weak = rsa.generate_private_key(65537, 1024)
    identifier = x509.SubjectKeyIdentifier.from_public_key(weak.public_key())
    der = csr_der(dns(NAME), key=weak, extensions=(identifier,))
    made = makers.make(der[:-1] + bytes([der[-1] ^ 1]), secret=makers.client.secret())
    require_pair(made.key_part, made)


def test_a_secret_protects_the_key(makers):
    secret = makers.client.secret()
    der = key_request(NAME, symmetric=secret[0].encode(), capabilities=(AES256_WRAP,))
    made = makers.make(der, secret=secret)
    assert made.media_type == PROTECTED
    key = key_encryption_key(secret[1])
    pkcs8 = makers.open(made, "-secretkey", key.hex(), "-secretkeyid", secret[0].encode().hex())
    require_pair(pkcs8, made)


@pytest.mark.parametrize("capabilities", [None, (OAEP,), (PKCS1,), (PKCS1, OAEP, AES256_CBC)])
def test_an_rsa_certificate_protects_the_key(makers, capabilities):
    own = makers.holder(KeyType.RSA_2048)
    der = key_request(NAME, asymmetric=rid(own), capabilities=capabilities)
    made = makers.make(der, certificate=own)
    require_pair(makers.open(made, "-inkey", "key", "-recip", "own"), made)
    (recipient,) = cms.ContentInfo.load(made.key_part)["content"]["recipient_infos"]
    used = recipient.chosen["key_encryption_algorithm"]["algorithm"].dotted
    assert used == (PKCS1 if capabilities == (PKCS1,) else OAEP)


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384])
def test_an_ec_certificate_protects_the_key(makers, key_type):
    own = makers.holder(key_type)
    made = makers.make(key_request(NAME, asymmetric=rid(own)), certificate=own)
    require_pair(makers.open(made, "-inkey", "key", "-recip", "own"), made)


@pytest.mark.parametrize(
    "wish",
    [
        {"symmetric": b"another"},
        {"symmetric": b""},
        {"asymmetric": b"\x01" * 20},
        {"symmetric": b"OWN", "asymmetric": b"\x01" * 20},
        {"symmetric": b"OWN", "capabilities": (AES128_WRAP,)},
        {"symmetric": b"OWN", "capabilities": (AES128_CBC,)},
    ],
)
def test_a_protection_that_cannot_be_had_costs_no_secret(makers, wish):
    """RFC 7030 §4.4.1.1, §4.4.1.2: the request MUST end with an error, and is never answered in the clear."""
    secret = makers.client.secret(max_uses=1)
    wish = {word: secret[0].encode() if value == b"OWN" else value for word, value in wish.items()}
    refused = (Kind.BAD_CSR, ("EST-KEY-PROTECTION",))
    assert makers.refused(key_request(NAME, **wish), secret=secret) == refused
    makers.make(key_request(NAME), secret=secret)


@pytest.mark.parametrize("key_type", [KeyType.ED25519, KeyType.EC_P256])
def test_a_key_that_cannot_be_encrypted_to_is_refused(makers, key_type):
    own = makers.holder(key_type)
    der = key_request(NAME, asymmetric=rid(own), capabilities=(SHA1_AGREEMENT,))
    assert makers.refused(der, certificate=own) == (Kind.BAD_CSR, ("EST-KEY-PROTECTION",))


def test_asking_again_makes_another_key_and_uses_the_secret_again(makers):
    secret, der = makers.client.secret(max_uses=2), key_request(NAME)
    first, second = makers.make(der, secret=secret), makers.make(der, secret=secret)
    assert first.issued.certificate_id != second.issued.certificate_id
    assert first.key_part != second.key_part
    assert makers.refused(der, secret=secret) == (Kind.UNAUTHENTICATED, ("EST-SECRET-SPENT",))


def test_a_profile_without_server_keys_makes_none(makers):
    secret = makers.client.secret(profile="tls-client")
    refused = (Kind.FORBIDDEN, ("EST-SERVER-KEY",))
    assert makers.refused(key_request(NAME), secret=secret, profile="tls-client") == refused


def test_names_are_for_the_credentials_to_allow(makers):
    secret = makers.client.secret(names=("dns:other.example.com",))
    assert makers.refused(key_request(NAME), secret=secret) == (Kind.FORBIDDEN, ("ACCESS-NAME",))


def test_no_key_is_made_for_what_the_credentials_do_not_allow(makers, monkeypatch):
    """An RSA key costs a second of a core; whoever may not have it must not cost it."""
    made = []
    monkeypatch.setattr(server_keys, "make_key", lambda each: made.append(each) or software.make_key(each))
    makers.client.bend(channel_binding=True, server_keys=("rsa-4096",))
    secret = makers.client.secret(names=("dns:other.example.com",))
    assert makers.refused(key_request(NAME), secret=secret)[1] == ("ACCESS-NAME",)
    assert makers.refused(key_request("other.example.com"), secret=secret)[1] == ("EST-CHANNEL-BINDING",)
    assert set(made) == {KeyType.EC_P256}


@pytest.mark.parametrize("password", [b"\xff\xfe", b"", b"\x00a", b"\xc3\xbc"])
def test_a_challenge_password_that_is_no_text_is_refused_where_it_counts(makers, password):
    spoilt = csr_der(dns(NAME), attributes=((AttributeOID.CHALLENGE_PASSWORD, b"s" * len(password)),))
    # As UTF8String; the CSR's signature counts for nothing here.
    head = bytes([0x0C, len(password)])
    spoilt = spoilt.replace(head + b"s" * len(password), head + password)
    secret = makers.client.secret()
    makers.make(spoilt, secret=secret)
    makers.client.bend(channel_binding=True, server_keys=("ec-p256",))
    refused = (Kind.BAD_CSR, ("CSR-CHALLENGE-PASSWORD",))
    assert makers.refused(spoilt, secret=secret, binding=b"binding") == refused


def test_the_connection_is_bound_where_the_profile_wants_it(makers):
    makers.client.bend(channel_binding=True, server_keys=("ec-p256",))
    secret, refused = makers.client.secret(), (Kind.BAD_CSR, ("EST-CHANNEL-BINDING",))
    bound = csr_der(dns(NAME), attributes=((AttributeOID.CHALLENGE_PASSWORD, b"YmluZGluZw=="),))
    assert makers.refused(key_request(NAME), secret=secret, binding=b"binding") == refused
    assert makers.refused(bound, secret=secret, binding=b"another") == refused
    assert makers.make(bound, secret=secret, binding=b"binding").media_type == PLAIN


def test_a_server_that_cannot_sign_uses_no_secret(makers, tmp_path):
    secret = makers.client.secret(max_uses=1)
    der = key_request(NAME, symmetric=secret[0].encode())
    broken = PackageSigner(tmp_path / "missing.pem", tmp_path / "missing.key")
    assert makers.refused(der, secret=secret, signer=broken) == (Kind.UNAVAILABLE, ())
    assert makers.make(der, secret=secret).media_type == PROTECTED


def test_the_key_is_nowhere_but_in_the_answer(makers):
    made = makers.make(key_request(NAME), secret=makers.client.secret())
    private = load_der_private_key(made.key_part, None).private_numbers().private_value.to_bytes(32, "big")
    assert repr(made.key_part) not in repr(made)
    with makers.client.parts.context.database.read() as connection:
        for table in tables.metadata.sorted_tables:
            kept = repr([tuple(row) for row in connection.execute(table.select())]).encode()
            assert private.hex().encode() not in kept
            assert repr(private)[2:-1].encode() not in kept
