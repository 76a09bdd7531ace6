"""Fields become the exact bytes to be signed."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from ca_server.core.assemble import Unsigned, record_unsigned
from ca_server.core.extensions import extensions_of
from ca_server.core.policy import CertificateFields, IssuerFacts
from ca_server.core.signatures import PublicKey, SignatureAlgorithm


def build_certificate(fields: CertificateFields, issuer: IssuerFacts, serial_number: int) -> Unsigned:
    """The TBSCertificate of these fields under this issuer, and a twin to be linted.

    `serial_number` is positive and has 159 bits at most (RFC 5280 §4.1.2.2).

    Raises:
        ValueError: the issuer's key does not fit its signature algorithm, or a field cannot be encoded.
    """
    algorithm = issuer.signature_algorithm
    builder = x509.CertificateBuilder(
        issuer_name=issuer.certificate.subject,
        subject_name=fields.subject,
        public_key=fields.public_key,
        serial_number=serial_number,
        not_valid_before=_naive(fields.not_before),
        not_valid_after=_naive(fields.not_after),
        extensions=extensions_of(fields, issuer),
    )

    def sign(key: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
        return builder.sign(key, algorithm.hash, rsa_padding=_pss(algorithm))

    # An authority's certificate was checked for a known key type when it was imported.
    public_key: PublicKey = issuer.certificate.public_key()  # type: ignore[assignment]
    return record_unsigned(sign, public_key, algorithm)


def _pss(algorithm: SignatureAlgorithm) -> padding.PSS | None:
    digest = algorithm.hash
    if digest is None or not algorithm.is_pss:
        return None
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def _naive(moment: datetime) -> datetime:
    """The builder's constructor takes UTC without an offset."""
    return moment.astimezone(UTC).replace(tzinfo=None)
