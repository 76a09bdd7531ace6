"""CSRs whose attributes stand in an order that DER does not know, as strongSwan writes them."""

from __future__ import annotations

from typing import Any

from asn1crypto import core, parser
from asn1crypto.csr import CertificationRequest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AttributeOID

from tests.fakes.paper_authority import csr_der

PASSWORD = (AttributeOID.CHALLENGE_PASSWORD, b"foobar")


def unordered(der: bytes, key: Any, *, salt: int | None = None) -> bytes:
    """The same request with its attributes in the opposite order, and the key's signature over that.

    `salt` is the length of the one in a signature by RSASSA-PSS; None for the kinds that `csr_der` makes.
    """
    request = CertificationRequest.load(der)
    info = request["certification_request_info"]
    fields = [info[word].dump() for word in ("version", "subject", "subject_pk_info")]
    attributes = [each.dump() for each in info["attributes"]]
    signed = _sequence(*fields, parser.emit(2, 1, 0, b"".join(reversed(attributes))))
    algorithm = request["signature_algorithm"]
    return _sequence(signed, algorithm.dump(), core.OctetBitString(_sign(key, signed, salt)).dump())


def strongswan_csr(names: Any = (), *, key: Any, **more: Any) -> bytes:
    """A request for some names with a challengePassword behind them."""
    return unordered(csr_der(names, key=key, attributes=(PASSWORD,), **more), key)


def _sign(key: Any, data: bytes, salt: int | None) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        pss = None if salt is None else padding.PSS(padding.MGF1(SHA256()), salt)
        return key.sign(data, pss or padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(SHA256()))
    return key.sign(data)


def _sequence(*parts: bytes) -> bytes:
    return parser.emit(0, 1, 16, b"".join(parts))
