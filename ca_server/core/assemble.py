"""Bytes to be signed, and bytes signed: recording what a builder wants signed, gluing a signature on.

The gate judges, logs and stores the exact TBS bytes before a key is used; the HSM signs those bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asn1crypto.crl import TbsCertList
from asn1crypto.x509 import TbsCertificate
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.signatures import PublicKey, SignatureAlgorithm
from ca_server.core.signing_key import signing_key

# A well-formed ECDSA-Sig-Value; the twin is linted and thrown away, so any signature will do.
PLACEHOLDER = bytes.fromhex("3006020101020101")


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A certificate or CRL before its signature: the exact bytes, and a twin of the whole to be linted."""

    tbs: bytes
    twin: bytes
    algorithm: SignatureAlgorithm

    @property
    def tbs_sha256(self) -> str:
        """The digest that the audit log's intent names."""
        return hashlib.sha256(self.tbs).hexdigest()


def record_unsigned(
    build: Callable[[CertificateIssuerPrivateKeyTypes], Any],
    public_key: PublicKey,
    algorithm: SignatureAlgorithm,
) -> Unsigned:
    """What a builder would have `public_key` sign.

    `build` gets a key object that records, and returns the certificate or CRL made with it.

    Raises:
        ValueError: the builder asked for another algorithm, or signed other than once.
    """
    recorded: list[tuple[bytes, SignatureAlgorithm]] = []

    def record(data: bytes, used: SignatureAlgorithm) -> bytes:
        recorded.append((data, used))
        return PLACEHOLDER

    twin = build(signing_key(public_key, record)).public_bytes(Encoding.DER)
    if len(recorded) != 1 or recorded[0][1] is not algorithm:
        raise ValueError(f"the builder did not ask for one {algorithm} signature")
    return Unsigned(recorded[0][0], twin, algorithm)


def assemble_certificate(tbs: bytes, signature: bytes) -> bytes:
    """The DER of a Certificate; the outer algorithm is the one inside the TBS (RFC 5280 §4.1.1.2)."""
    return _glue(tbs, TbsCertificate.load(tbs)["signature"].dump(), signature)


def assemble_crl(tbs: bytes, signature: bytes) -> bytes:
    """The DER of a CertificateList; the outer algorithm is the one inside the TBS (RFC 5280 §5.1.1.2)."""
    return _glue(tbs, TbsCertList.load(tbs)["signature"].dump(), signature)


def assemble_request(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """The DER of a CertificationRequest, whose signed part does not name the algorithm (RFC 2986 §4.2).

    `algorithm` is the DER of an AlgorithmIdentifier.
    """
    return _glue(tbs, algorithm, signature)


def _glue(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    return _der(0x30, tbs + algorithm + _der(0x03, b"\x00" + signature))


def _der(tag: int, content: bytes) -> bytes:
    """One definite-length element (X.690 §8.1.3)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
