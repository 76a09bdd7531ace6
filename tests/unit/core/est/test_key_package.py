"""A key package is opened by OpenSSL, layer by layer, for each kind of recipient (RFC 7030 §4.4.2)."""

from __future__ import annotations

import secrets
import subprocess

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5958

from ca_server.core.est.key_package import (
    Fresh,
    key_encryption_key,
    seal_for_ec,
    seal_for_rsa,
    seal_for_secret,
    signed_key_package,
)
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import make_issuer, make_key

KEY = ec.generate_private_key(ec.SECP256R1())
PKCS8 = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
SECRET, SECRET_ID = "sk_a-secret-of-these-tests", b"01234567-89ab"


def fresh():
    return Fresh(secrets.token_bytes(32), secrets.token_bytes(16))


def sign(key_type=KeyType.EC_P256):
    certificate = make_issuer(key_type=key_type).certificate
    return signed_key_package(PKCS8, make_key(key_type), [certificate]), certificate


@pytest.fixture
def openssl(tmp_path):
    """Runs `openssl cms` on a message and gives what it finds inside."""

    def run(message, *arguments, **files):
        files = {"message": message, **files}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        command = ["openssl", "cms", *arguments, "-inform", "DER", "-in", "message", "-out", "inside"]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        return (tmp_path / "inside").read_bytes()

    return run


def wrapped(signed):
    """The content of an EnvelopedData has no ContentInfo around it (RFC 5652 §3); OpenSSL wants one."""
    return cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData.load(signed)}).dump()


def pem(certificate):
    return certificate.public_bytes(Encoding.PEM)


def key_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048])
def test_openssl_verifies_the_signature_and_finds_the_key(openssl, key_type):
    signed, certificate = sign(key_type)
    package = openssl(
        wrapped(signed),
        *("-verify", "-CAfile", "root", "-no_check_time", "-purpose", "any"),
        root=pem(certificate),
    )
    found, rest = decode(package, asn1Spec=rfc5958.AsymmetricKeyPackage())
    assert (len(found), rest) == (1, b"")
    assert load_der_private_key(package[-len(PKCS8) :], None).private_numbers() == KEY.private_numbers()


def test_the_content_is_said_to_be_what_it_is():
    """RFC 5652 §5.3: the content's type is signed too, and version 3 goes with one that is not id-data."""
    signed = cms.SignedData.load(sign()[0], strict=True)
    assert signed["version"].native == "v3"
    kind = "2.16.840.1.101.2.1.2.78.5"
    assert signed["encap_content_info"]["content_type"].dotted == kind
    attributes = {
        each["type"].native: each["values"][0] for each in signed["signer_infos"][0]["signed_attrs"]
    }
    assert attributes["content_type"].dotted == kind
    assert set(attributes) == {"content_type", "message_digest"}


def test_openssl_opens_what_a_secret_seals(openssl):
    signed, _ = sign()
    key = key_encryption_key(SECRET)
    sealed = seal_for_secret(signed, key, SECRET_ID, fresh())
    given = ("-decrypt", "-secretkey", key.hex(), "-secretkeyid", SECRET_ID.hex())
    assert openssl(sealed, *given) == signed


def test_openssl_derives_the_same_key_from_a_secret():
    """What a client does to get its key-encryption key (RFC 5869)."""
    options = ["digest:SHA256", f"key:{SECRET}", "info:sealkeeper est server key"]
    command = ["openssl", "kdf", "-keylen", "32", "-binary"]
    for option in options:
        command += ["-kdfopt", option]
    run = subprocess.run([*command, "HKDF"], capture_output=True, check=True)
    assert run.stdout == key_encryption_key(SECRET)


@pytest.mark.parametrize("oaep", [True, False])
@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.RSA_3072])
def test_openssl_opens_what_is_sealed_for_an_rsa_key(openssl, key_type, oaep):
    signed, _ = sign()
    certificate = make_issuer(key_type=key_type).certificate
    sealed = seal_for_rsa(signed, certificate, fresh(), oaep=oaep)
    files = {"key": key_pem(make_key(key_type)), "own": pem(certificate)}
    assert openssl(sealed, "-decrypt", "-inkey", "key", "-recip", "own", **files) == signed
    (recipient,) = cms.ContentInfo.load(sealed)["content"]["recipient_infos"]
    algorithm = recipient.chosen["key_encryption_algorithm"]["algorithm"].native
    assert algorithm == ("rsaes_oaep" if oaep else "rsaes_pkcs1v15")


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521])
def test_openssl_opens_what_is_sealed_for_an_ec_key(openssl, key_type):
    signed, _ = sign()
    certificate, key = make_issuer(key_type=key_type).certificate, make_key(key_type)
    sealed = seal_for_ec(signed, certificate, ec.generate_private_key(key.curve), fresh())
    files = {"key": key_pem(key), "own": pem(certificate)}
    assert openssl(sealed, "-decrypt", "-inkey", "key", "-recip", "own", **files) == signed


def test_another_secret_opens_nothing(openssl):
    sealed = seal_for_secret(sign()[0], key_encryption_key(SECRET), SECRET_ID, fresh())
    given = ("-decrypt", "-secretkey", key_encryption_key("another").hex(), "-secretkeyid", SECRET_ID.hex())
    with pytest.raises(subprocess.CalledProcessError):
        openssl(sealed, *given)


@pytest.mark.parametrize(("seal", "key_type"), [(seal_for_rsa, "ec-p256"), (seal_for_ec, "rsa-2048")])
def test_a_key_of_the_other_kind_is_a_mistake(seal, key_type):
    certificate = make_issuer(key_type=KeyType(key_type)).certificate
    more = {"oaep": True} if seal is seal_for_rsa else {"ephemeral": KEY}
    with pytest.raises(TypeError):
        seal(b"", certificate, fresh=fresh(), **more)


def test_what_is_drawn_stays_out_of_sight():
    drawn = fresh()
    assert repr(drawn.key) not in repr(drawn)
    assert PKCS8 not in seal_for_secret(sign()[0], key_encryption_key(SECRET), SECRET_ID, drawn)
