"""A private key on its way to whom it was made for: signed, then encrypted (RFC 7030 §4.4.2, RFC 5958 §4).

EnvelopedData holds SignedData, which holds an AsymmetricKeyPackage; each is the content of the other as
RFC 5652 §3 nests them, by type and without a ContentInfo around it. Messages are built here, never read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asn1crypto import cms, core, keys
from asn1crypto.x509 import Certificate as Asn1Certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.5"  # id-ct-KP-aKeyPackage, RFC 5958 §2
_STANDARD_DH_SHA256 = "1.3.132.1.11.1"  # dhSinglePass-stdDH-sha256kdf-scheme, RFC 5753 §7.1.4
_KEY_BYTES = 32
_SECRET_USE = b"sealkeeper est server key"

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is drawn anew for each message: the content's AES-256 key of 32 bytes and its IV of 16."""

    key: bytes = field(repr=False)
    iv: bytes


def signed_key_package(pkcs8: bytes, signer: SigningKey, chain: Sequence[x509.Certificate]) -> bytes:
    """The DER of a SignedData with one private key in it (RFC 5652 §5.1), signed using SHA-256.

    `chain` goes along, and its first certificate is the signer's.
    """
    package = _sequence_of_one(pkcs8)
    attributes = cms.CMSAttributes(
        [
            {"type": "content_type", "values": [_KEY_PACKAGE]},
            {"type": "message_digest", "values": [hashlib.sha256(package).digest()]},
        ]
    )
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        algorithm = "sha256_ecdsa"
        signature = signer.sign(attributes.dump(), ec.ECDSA(hashes.SHA256()))
    else:
        algorithm = "sha256_rsa"
        signature = signer.sign(attributes.dump(), padding.PKCS1v15(), hashes.SHA256())
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": _KEY_PACKAGE, "content": package},
            "certificates": [_asn1(each) for each in chain],
            "signer_infos": [
                {
                    "version": "v1",
                    "sid": cms.SignerIdentifier("issuer_and_serial_number", _issuer_and_serial(chain[0])),
                    "digest_algorithm": {"algorithm": "sha256"},
                    "signed_attrs": attributes,
                    "signature_algorithm": {"algorithm": algorithm},
                    "signature": signature,
                }
            ],
        }
    )
    return _dump(signed)


def key_encryption_key(secret: str) -> bytes:
    """The 32 bytes that wrap keys for whoever knows an enrolment secret (HKDF-SHA256, RFC 5869, no salt)."""
    derive = HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=_SECRET_USE)
    return derive.derive(secret.encode())


def seal_for_secret(signed: bytes, key: bytes, key_id: bytes, fresh: Fresh) -> bytes:
    """An EnvelopedData for a key-encryption key that both sides have (RFC 5652 §6.2.3)."""
    recipient = cms.KEKRecipientInfo(
        {
            "version": "v4",
            "kekid": {"key_identifier": key_id},
            "key_encryption_algorithm": {"algorithm": "aes256_wrap"},
            "encrypted_key": aes_key_wrap(key, fresh.key),
        }
    )
    return _enveloped("v2", cms.RecipientInfo("kekri", recipient), signed, fresh)


def seal_for_rsa(signed: bytes, certificate: x509.Certificate, fresh: Fresh, *, oaep: bool) -> bytes:
    """An EnvelopedData by key transport (RFC 5652 §6.2.1): RSAES-OAEP with SHA-256, or PKCS #1 v1.5."""
    public_key = certificate.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise TypeError("key transport is for RSA keys")
    algorithm: dict[str, Any]
    if oaep:
        digest = {"algorithm": "sha256"}
        mask = {"algorithm": "mgf1", "parameters": digest}
        algorithm = {
            "algorithm": "rsaes_oaep",
            "parameters": {"hash_algorithm": digest, "mask_gen_algorithm": mask},
        }
        scheme: padding.AsymmetricPadding = padding.OAEP(
            padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None
        )
    else:
        algorithm = {"algorithm": "rsaes_pkcs1v15", "parameters": core.Null()}
        scheme = padding.PKCS1v15()
    recipient = cms.KeyTransRecipientInfo(
        {
            "version": "v0",
            "rid": cms.RecipientIdentifier("issuer_and_serial_number", _issuer_and_serial(certificate)),
            "key_encryption_algorithm": algorithm,
            "encrypted_key": public_key.encrypt(fresh.key, scheme),
        }
    )
    return _enveloped("v0", cms.RecipientInfo("ktri", recipient), signed, fresh)


def seal_for_ec(
    signed: bytes, certificate: x509.Certificate, ephemeral: ec.EllipticCurvePrivateKey, fresh: Fresh
) -> bytes:
    """An EnvelopedData by key agreement: ephemeral-static ECDH with the X9.63 KDF (RFC 5753 §3.1).

    `ephemeral` is drawn for this message on the curve of the certificate's key.
    """
    public_key = certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise TypeError("key agreement is for EC keys")
    wrap = cms.KeyEncryptionAlgorithm({"algorithm": "aes256_wrap"})
    derive = X963KDF(hashes.SHA256(), _KEY_BYTES, sharedinfo=_shared_info(wrap))
    wrapping_key = derive.derive(ephemeral.exchange(ec.ECDH(), public_key))
    own = ephemeral.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    recipient = cms.KeyAgreeRecipientInfo(
        {
            "version": "v3",
            "originator": cms.OriginatorIdentifierOrKey("originator_key", keys.PublicKeyInfo.load(own)),
            "key_encryption_algorithm": {"algorithm": _STANDARD_DH_SHA256, "parameters": wrap},
            "recipient_encrypted_keys": [
                {
                    "rid": cms.KeyAgreementRecipientIdentifier(
                        "issuer_and_serial_number", _issuer_and_serial(certificate)
                    ),
                    "encrypted_key": aes_key_wrap(wrapping_key, fresh.key),
                }
            ],
        }
    )
    return _enveloped("v2", cms.RecipientInfo("kari", recipient), signed, fresh)


class _SharedInfo(core.Sequence):
    """ECC-CMS-SharedInfo (RFC 5753 §7.2); `size` is the wrapping key's in bits, of four octets."""

    _fields = [  # noqa: RUF012 - how asn1crypto describes a structure
        ("key_info", cms.KeyEncryptionAlgorithm),
        ("size", core.OctetString, {"explicit": 2}),
    ]


def _shared_info(wrap: cms.KeyEncryptionAlgorithm) -> bytes:
    size = (8 * _KEY_BYTES).to_bytes(4, "big")
    return _dump(_SharedInfo({"key_info": wrap, "size": size}))  # type: ignore[no-untyped-call]


def _enveloped(version: str, recipient: cms.RecipientInfo, signed: bytes, fresh: Fresh) -> bytes:
    """A ContentInfo of RFC 5652 §6.1 with AES-256-CBC (RFC 3565): OpenSSL and its kin open no other mode."""
    padder = PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(fresh.key), modes.CBC(fresh.iv)).encryptor()
    padded = padder.update(signed) + padder.finalize()
    enveloped = cms.EnvelopedData(
        {
            "version": version,
            "recipient_infos": [recipient],
            "encrypted_content_info": {
                "content_type": "signed_data",
                "content_encryption_algorithm": {"algorithm": "aes256_cbc", "parameters": fresh.iv},
                "encrypted_content": encryptor.update(padded) + encryptor.finalize(),
            },
        }
    )
    return _dump(cms.ContentInfo({"content_type": "enveloped_data", "content": enveloped}))


def _sequence_of_one(element: bytes) -> bytes:
    """AsymmetricKeyPackage ::= SEQUENCE SIZE (1..MAX) OF OneAsymmetricKey."""
    return _dump(core.SequenceOf([core.Any.load(element)], spec=core.Any))


def _issuer_and_serial(certificate: x509.Certificate) -> cms.IssuerAndSerialNumber:
    parsed = _asn1(certificate)
    return cms.IssuerAndSerialNumber({"issuer": parsed.issuer, "serial_number": parsed.serial_number})


def _asn1(certificate: x509.Certificate) -> Asn1Certificate:
    parsed: Asn1Certificate = Asn1Certificate.load(certificate.public_bytes(Encoding.DER))
    return parsed


def _dump(value: core.Asn1Value) -> bytes:
    encoded: bytes = value.dump()
    return encoded
