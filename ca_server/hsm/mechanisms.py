"""What each key type and signature algorithm is called in PKCS#11, and how a token's bytes are read.

Names are PKCS#11's without their `CKM_`, `CKK_` and `CKA_`, so that this table needs no PKCS#11 library.
EC signatures use raw `CKM_ECDSA` over a digest made here: SoftHSM 2.6.1 has no `CKM_ECDSA_SHA256`. PSS
parameters are always given, because defaults are SHA-1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca_server.core.signatures import Digest, KeyType, PublicKey, SignatureAlgorithm
from ca_server.hsm.port import HsmRefused

KeyKind = Literal["RSA", "EC", "EC_EDWARDS", "ML_DSA"]
Attributes = Mapping[str, object]

# A key that signs, stays, and does nothing else. What is asked for here is read back afterwards.
PRIVATE_TEMPLATE: Mapping[str, bool] = {
    "TOKEN": True,
    "PRIVATE": True,
    "SENSITIVE": True,
    "EXTRACTABLE": False,
    "SIGN": True,
    "SIGN_RECOVER": False,
    "DECRYPT": False,
    "UNWRAP": False,
    "DERIVE": False,
}
# The same for a key that a backup is made of: it leaves as a wrapped blob, under a trusted key alone.
WRAPPABLE_TEMPLATE: Mapping[str, bool] = {**PRIVATE_TEMPLATE, "EXTRACTABLE": True, "WRAP_WITH_TRUSTED": True}
# A wrapping key, made of octets that are split; it does nothing but wrap and unwrap, and stays so: could its
# user let it decrypt, or copy it, what it wrapped would lie open. Its private flag is false: what a security
# officer makes or marks as trusted is public in PKCS#11, since they see no other.
WRAPPING_TEMPLATE: Mapping[str, bool] = {
    "TOKEN": True,
    "PRIVATE": False,
    "SENSITIVE": True,
    "EXTRACTABLE": False,
    "TRUSTED": True,
    "MODIFIABLE": False,
    "COPYABLE": False,
    "WRAP": True,
    "UNWRAP": True,
    "ENCRYPT": False,
    "DECRYPT": False,
    "SIGN": False,
    "VERIFY": False,
    "DERIVE": False,
}
PUBLIC_TEMPLATE: Mapping[str, bool] = {
    "TOKEN": True,
    "PRIVATE": False,
    "VERIFY": True,
    "VERIFY_RECOVER": False,
    "ENCRYPT": False,
    "WRAP": False,
}
# What the token itself vouches for after generation (PKCS#11 v3.1 §4.9, table 26).
VOUCHED: Mapping[str, bool] = {"ALWAYS_SENSITIVE": True, "NEVER_EXTRACTABLE": True, "LOCAL": True}
WRAPPABLE_VOUCHED: Mapping[str, bool] = {**VOUCHED, "NEVER_EXTRACTABLE": False}
SEALED: Mapping[str, bool] = {**PRIVATE_TEMPLATE, **VOUCHED}


@dataclass(frozen=True, slots=True)
class Generation:
    """How a token makes a key pair of one type; `key_length` is in bits, for RSA alone."""

    kind: KeyKind
    mechanism: str
    key_length: int | None = None
    parameters: Mapping[str, bytes | int] | None = None


@dataclass(frozen=True, slots=True)
class Signing:
    """How a token signs a message with one algorithm.

    `pss` is (digest, mask generation function, salt length in octets). `digest` is applied in software
    before; then `raw` is what the token returns, r || s, and X.509 wants DER.
    """

    mechanism: str
    pss: tuple[str, str, int] | None = None
    digest: Digest | None = None

    def message(self, data: bytes) -> bytes:
        """What is given to the token for a whole message."""
        if self.digest is None:
            return data
        digest = hashes.Hash(self.digest)
        digest.update(data)
        return digest.finalize()

    def signature(self, answer: bytes) -> bytes:
        """The token's answer as X.509 wants it (RFC 3279 §2.2.3 for ECDSA)."""
        return answer if self.digest is None else ecdsa_der(answer)


_CURVES: Mapping[KeyType, tuple[ec.EllipticCurve, bytes]] = {
    # namedCurve OIDs in DER (RFC 5480 §2.1.1.1)
    KeyType.EC_P256: (ec.SECP256R1(), bytes.fromhex("06082a8648ce3d030107")),
    KeyType.EC_P384: (ec.SECP384R1(), bytes.fromhex("06052b81040022")),
    KeyType.EC_P521: (ec.SECP521R1(), bytes.fromhex("06052b81040023")),
}
# 1.3.101.112 in DER (RFC 8410 §3); PKCS#11 v3.0 also allows the curve's name as a PrintableString.
_ED25519_OID = bytes.fromhex("06032b6570")
_ED25519_NAMES = frozenset({_ED25519_OID, b"\x13\x0cedwards25519"})
_RSA_LENGTHS = {KeyType.RSA_2048: 2048, KeyType.RSA_3072: 3072, KeyType.RSA_4096: 4096}
# CKP_ML_DSA_* and the key each stands for (PKCS#11 v3.2 §6.67)
_ML_DSA_SETS: Mapping[KeyType, tuple[int, Callable[[bytes], PublicKey]]] = {
    KeyType.ML_DSA_44: (1, mldsa.MLDSA44PublicKey.from_public_bytes),
    KeyType.ML_DSA_65: (2, mldsa.MLDSA65PublicKey.from_public_bytes),
    KeyType.ML_DSA_87: (3, mldsa.MLDSA87PublicKey.from_public_bytes),
}


def generation(key_type: KeyType) -> Generation:
    """How a token makes a key pair of this type."""
    if key_type in _CURVES:
        return Generation("EC", "EC_KEY_PAIR_GEN", parameters={"EC_PARAMS": _CURVES[key_type][1]})
    if key_type in _RSA_LENGTHS:
        return Generation("RSA", "RSA_PKCS_KEY_PAIR_GEN", key_length=_RSA_LENGTHS[key_type])
    if key_type in _ML_DSA_SETS:
        return Generation(
            "ML_DSA", "ML_DSA_KEY_PAIR_GEN", parameters={"PARAMETER_SET": _ML_DSA_SETS[key_type][0]}
        )
    return Generation("EC_EDWARDS", "EC_EDWARDS_KEY_PAIR_GEN", parameters={"EC_PARAMS": _ED25519_OID})


def demand_wrappable(key_type: KeyType) -> None:
    """Refuse a type that is not wrapped everywhere: SoftHSM 2.6.1 wraps no Ed25519 key.

    Raises:
        HsmRefused: the type is neither EC nor RSA.
    """
    if key_type not in _CURVES and key_type not in _RSA_LENGTHS:
        raise HsmRefused(f"a key of type {key_type} is not backed up by wrapping; EC and RSA keys are")


def signing(key_type: KeyType, algorithm: SignatureAlgorithm) -> Signing:
    """How a key of this type signs with this algorithm.

    Raises:
        HsmRefused: the algorithm is not one of this key type's.
    """
    digest = algorithm.hash
    if key_type in _CURVES and algorithm.startswith("ecdsa-"):
        return Signing("ECDSA", digest=digest)
    if key_type in _RSA_LENGTHS and digest is not None and algorithm.startswith("rsa-"):
        name = digest.name.upper()
        if algorithm.is_pss:
            return Signing(f"{name}_RSA_PKCS_PSS", pss=(name, name, digest.digest_size))
        return Signing(f"{name}_RSA_PKCS")
    if key_type == algorithm.value:
        return Signing("EDDSA" if key_type is KeyType.ED25519 else "ML_DSA")
    raise HsmRefused(f"a key of type {key_type} does not sign with {algorithm}")


def ecdsa_der(raw: bytes) -> bytes:
    """The numbers r || s as an ECDSA-Sig-Value (RFC 3279 §2.2.3).

    Raises:
        HsmRefused: the octets cannot be split into two numbers of the same length.
    """
    if not raw or len(raw) % 2:
        raise HsmRefused("the token's ECDSA signature is not two numbers of one length")
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def weaknesses(attributes: Attributes, wanted: Mapping[str, bool] = SEALED) -> tuple[str, ...]:
    """The attributes that came back other than wanted, by name; a key that signs and never leaves is wanted.

    An attribute that the token does not have counts as weak where it must be true.
    """
    return tuple(name for name, value in wanted.items() if bool(attributes.get(name, False)) is not value)


def public_key_of(kind: str, attributes: Attributes) -> PublicKey | None:
    """The public key that a token's attributes describe, or None where it is no key that we use.

    `attributes` holds octets (EC_PARAMS, EC_POINT, MODULUS, PUBLIC_EXPONENT, VALUE) and, for ML-DSA, the
    number PARAMETER_SET. Whatever a token puts there, nothing is raised.
    """
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        return reader(attributes)
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm):
        return None


def public_attributes(public_key: PublicKey) -> tuple[KeyKind, Mapping[str, bytes]]:
    """The kind and the attributes of an EC or RSA public key, for a token that has only its private half.

    Raises:
        HsmRefused: a key of another kind, or on another curve.
    """
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        return "RSA", {"MODULUS": _big(numbers.n), "PUBLIC_EXPONENT": _big(numbers.e)}
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        for curve, oid in _CURVES.values():
            if curve.name == public_key.curve.name:
                point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
                return "EC", {"EC_PARAMS": oid, "EC_POINT": _octet_string_header(len(point)) + point}
    raise HsmRefused("only EC and RSA keys are restored from a wrapped blob")


def _big(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _octets(attributes: Attributes, name: str) -> bytes:
    value = attributes[name]
    if not isinstance(value, bytes):
        raise TypeError(name)
    return value


def _read_ec(attributes: Attributes) -> PublicKey | None:
    parameters = _octets(attributes, "EC_PARAMS")
    for curve, oid in _CURVES.values():
        if parameters == oid:
            size = 2 * ((curve.key_size + 7) // 8) + 1
            point = _unwrapped(_octets(attributes, "EC_POINT"), size)
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    return None


def _read_edwards(attributes: Attributes) -> PublicKey | None:
    if _octets(attributes, "EC_PARAMS") not in _ED25519_NAMES:
        return None
    point = _unwrapped(_octets(attributes, "EC_POINT"), 32)
    return ed25519.Ed25519PublicKey.from_public_bytes(point)


def _read_rsa(attributes: Attributes) -> PublicKey:
    modulus = int.from_bytes(_octets(attributes, "MODULUS"), "big")
    exponent = int.from_bytes(_octets(attributes, "PUBLIC_EXPONENT"), "big")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _read_ml_dsa(attributes: Attributes) -> PublicKey | None:
    for number, load in _ML_DSA_SETS.values():
        if attributes["PARAMETER_SET"] == number:
            return load(_octets(attributes, "VALUE"))
    return None


def _unwrapped(point: bytes, size: int) -> bytes:
    """A point of known size, bare or in an OCTET STRING; PKCS#11 asks for the wrapping, tokens differ."""
    if len(point) == size:
        return point
    return point.removeprefix(_octet_string_header(size))


def _octet_string_header(size: int) -> bytes:
    return bytes((0x04, size)) if size < 0x80 else bytes((0x04, 0x81, size))


_READERS: Mapping[str, Callable[[Attributes], PublicKey | None]] = {
    "EC": _read_ec,
    "EC_EDWARDS": _read_edwards,
    "RSA": _read_rsa,
    "ML_DSA": _read_ml_dsa,
}
