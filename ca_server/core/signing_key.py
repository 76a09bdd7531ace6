"""Key objects that `cryptography`'s builders accept and whose signing is somebody else's work.

One class a key family, each asking a function for the signature: an HSM's signer, or a recorder that
only wants to see the bytes. Nothing else of a private key can be had from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ca_server.core.signatures import PublicKey, SignatureAlgorithm

SignFunction = Callable[[bytes, SignatureAlgorithm], bytes]


def signing_key(public_key: PublicKey, sign: SignFunction) -> CertificateIssuerPrivateKeyTypes:
    """A private-key object of the public key's family that asks `sign` for every signature.

    Raises:
        TypeError: the public key is of a family that Sealkeeper does not sign with.
    """
    for family, key_class in _CLASSES.items():
        if isinstance(public_key, family):
            key: CertificateIssuerPrivateKeyTypes = key_class(public_key, sign)
            return key
    raise TypeError(f"no signing key for {type(public_key).__name__}")


class _Remote:
    """What the families share: the public half, the function that signs, and no way to the private half."""

    def __init__(self, public_key: Any, sign: SignFunction) -> None:
        self._public_key = public_key
        self._sign = sign

    def public_key(self) -> Any:
        return self._public_key

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: Any) -> Self:
        return self

    def _refuse(self, *_args: Any, **_keywords: Any) -> NoReturn:
        raise TypeError("the private half of this key never leaves its token")

    private_bytes = _refuse
    private_bytes_raw = _refuse
    private_numbers = _refuse
    decrypt = _refuse
    exchange = _refuse
    sign_mu = _refuse


class _EllipticCurveKey(_Remote, ec.EllipticCurvePrivateKey):
    @property
    def curve(self) -> ec.EllipticCurve:
        curve: ec.EllipticCurve = self._public_key.curve
        return curve

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        digest = signature_algorithm.algorithm
        if isinstance(digest, Prehashed):
            raise TypeError("whole messages only")
        return self._sign(bytes(data), SignatureAlgorithm(f"ecdsa-{digest.name}"))


class _RSAKey(_Remote, rsa.RSAPrivateKey):
    @property
    def key_size(self) -> int:
        size: int = self._public_key.key_size
        return size

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise TypeError("whole messages only")
        family = "rsa-pss" if isinstance(padding, _PSS) else "rsa"
        return self._sign(bytes(data), SignatureAlgorithm(f"{family}-{algorithm.name}"))


class _Ed25519Key(_Remote, ed25519.Ed25519PrivateKey):
    def sign(self, data: Any) -> bytes:
        return self._sign(bytes(data), SignatureAlgorithm.ED25519)


class _MLDSA44Key(_Remote, mldsa.MLDSA44PrivateKey):
    def sign(self, data: Any, context: Any = None) -> bytes:
        return _sign_ml_dsa(self._sign, data, context, SignatureAlgorithm.ML_DSA_44)


class _MLDSA65Key(_Remote, mldsa.MLDSA65PrivateKey):
    def sign(self, data: Any, context: Any = None) -> bytes:
        return _sign_ml_dsa(self._sign, data, context, SignatureAlgorithm.ML_DSA_65)


class _MLDSA87Key(_Remote, mldsa.MLDSA87PrivateKey):
    def sign(self, data: Any, context: Any = None) -> bytes:
        return _sign_ml_dsa(self._sign, data, context, SignatureAlgorithm.ML_DSA_87)


def _sign_ml_dsa(sign: SignFunction, data: Any, context: Any, algorithm: SignatureAlgorithm) -> bytes:
    if context:
        raise TypeError("certificates are signed with an empty context (RFC 9881 §3)")
    return sign(bytes(data), algorithm)


_PSS = padding.PSS
_CLASSES: dict[type, type[Any]] = {
    ec.EllipticCurvePublicKey: _EllipticCurveKey,
    rsa.RSAPublicKey: _RSAKey,
    ed25519.Ed25519PublicKey: _Ed25519Key,
    mldsa.MLDSA44PublicKey: _MLDSA44Key,
    mldsa.MLDSA65PublicKey: _MLDSA65Key,
    mldsa.MLDSA87PublicKey: _MLDSA87Key,
}
