"""Key types and signature algorithms by name, and how a signature is checked in software."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PublicKey = (
    ec.EllipticCurvePublicKey
    | rsa.RSAPublicKey
    | ed25519.Ed25519PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)

Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

_DIGESTS: dict[str, Digest] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class KeyType(StrEnum):
    """Every kind of key that Sealkeeper makes or certifies; RSA of other sizes has no name here."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    EC_P521 = "ec-p521"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


class SignatureAlgorithm(StrEnum):
    """Every way in which Sealkeeper signs (RFC 5758, RFC 8017, RFC 4055, RFC 8410, RFC 9881)."""

    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    ECDSA_SHA512 = "ecdsa-sha512"
    RSA_SHA256 = "rsa-sha256"
    RSA_SHA384 = "rsa-sha384"
    RSA_SHA512 = "rsa-sha512"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    RSA_PSS_SHA384 = "rsa-pss-sha384"
    RSA_PSS_SHA512 = "rsa-pss-sha512"
    ED25519 = "ed25519"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def hash(self) -> Digest | None:
        """The digest applied before signing; None where the algorithm takes the message itself."""
        return _DIGESTS.get(self.value.rsplit("-", 1)[-1])

    @property
    def is_pss(self) -> bool:
        """True for RSASSA-PSS, which is used with a salt as long as the digest (RFC 4055 §3.1)."""
        return self.value.startswith("rsa-pss-")


_CURVES = {"secp256r1": KeyType.EC_P256, "secp384r1": KeyType.EC_P384, "secp521r1": KeyType.EC_P521}
_RSA_SIZES = {2048: KeyType.RSA_2048, 3072: KeyType.RSA_3072, 4096: KeyType.RSA_4096}
_ML_DSA: dict[type, KeyType] = {
    mldsa.MLDSA44PublicKey: KeyType.ML_DSA_44,
    mldsa.MLDSA65PublicKey: KeyType.ML_DSA_65,
    mldsa.MLDSA87PublicKey: KeyType.ML_DSA_87,
}
_DEFAULTS = {
    KeyType.EC_P256: SignatureAlgorithm.ECDSA_SHA256,
    KeyType.EC_P384: SignatureAlgorithm.ECDSA_SHA384,
    KeyType.EC_P521: SignatureAlgorithm.ECDSA_SHA512,
    KeyType.RSA_2048: SignatureAlgorithm.RSA_SHA256,
    KeyType.RSA_3072: SignatureAlgorithm.RSA_SHA256,
    KeyType.RSA_4096: SignatureAlgorithm.RSA_SHA256,
    KeyType.ED25519: SignatureAlgorithm.ED25519,
    KeyType.ML_DSA_44: SignatureAlgorithm.ML_DSA_44,
    KeyType.ML_DSA_65: SignatureAlgorithm.ML_DSA_65,
    KeyType.ML_DSA_87: SignatureAlgorithm.ML_DSA_87,
}


def key_type_of(public_key: object) -> KeyType | None:
    """The name of a public key's type, or None for a type or size that Sealkeeper does not know."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return _CURVES.get(public_key.curve.name)
    if isinstance(public_key, rsa.RSAPublicKey):
        return _RSA_SIZES.get(public_key.key_size)
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return KeyType.ED25519
    return next((name for known, name in _ML_DSA.items() if isinstance(public_key, known)), None)


def default_algorithm(key_type: KeyType) -> SignatureAlgorithm:
    """The signature algorithm that fits a key type's strength (SP 800-57 part 1 §5.6.1)."""
    return _DEFAULTS[key_type]


def spki_sha256(public_key: PublicKey) -> str:
    """The name under which a key is granted a role or listed as compromised: hex SHA-256 of its SPKI."""
    info = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def verify_signature(
    public_key: PublicKey, signature: bytes, data: bytes, algorithm: SignatureAlgorithm
) -> None:
    """Check a signature in software; every HSM answer passes here before it is used.

    Raises:
        InvalidSignature: the signature is not this key's over this data, or the key is of another type.
    """
    digest = algorithm.hash
    if isinstance(public_key, ec.EllipticCurvePublicKey) and algorithm.startswith("ecdsa-") and digest:
        public_key.verify(signature, data, ec.ECDSA(digest))
    elif isinstance(public_key, rsa.RSAPublicKey) and algorithm.startswith("rsa-") and digest:
        pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
        public_key.verify(signature, data, pss if algorithm.is_pss else padding.PKCS1v15(), digest)
    elif not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and (
        key_type_of(public_key) == algorithm.value
    ):
        public_key.verify(signature, data)
    else:
        raise InvalidSignature
