"""Certificate revocation lists: the exact bytes of one before it is signed, and reading one back.

Only full CRLs for all reasons are made (RFC 5280 §5). Which entries belong on one is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from ca_server.core.assemble import Unsigned, record_unsigned
from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import SignatureAlgorithm, verify_signature

MAX_CRL_BYTES = 64 * 1024 * 1024

# What may be asked for: every reason of RFC 5280 §5.3.1 but removeFromCRL, which only delta CRLs know.
REASONS = {reason.value: reason for reason in x509.ReasonFlags if reason.value != "removeFromCRL"}

_PEM = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True, slots=True)
class CrlIssuer:
    """Who signs a CRL, and how."""

    certificate: x509.Certificate
    algorithm: SignatureAlgorithm


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """One revoked certificate; `invalidity_date` is when its key may have been lost (RFC 5280 §5.3.2)."""

    serial_number: int
    revoked_at: datetime
    reason: x509.ReasonFlags
    invalidity_date: datetime | None = None


def build_crl(
    issuer: CrlIssuer,
    entries: Sequence[CrlEntry],
    crl_number: int,
    this_update: datetime,
    next_update: datetime,
) -> Unsigned:
    """The bytes that the issuer's key is to sign, entries in the order given.

    Raises:
        ValueError: the times, the number or the issuer's certificate cannot make a CRL: our bug.
    """
    builder = x509.CertificateRevocationListBuilder(
        extensions=_extensions(issuer, crl_number),
        # One by one, every addition would copy the list.
        revoked_certificates=[_revoked(entry) for entry in entries],
    )
    builder = builder.issuer_name(issuer.certificate.subject)
    builder = builder.last_update(this_update).next_update(next_update)
    digest = issuer.algorithm.hash
    pss = None
    if issuer.algorithm.is_pss and digest:
        pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)

    def build(key: CertificateIssuerPrivateKeyTypes) -> x509.CertificateRevocationList:
        return builder.sign(key, digest, rsa_padding=pss)

    return record_unsigned(build, issuer.certificate.public_key(), issuer.algorithm)  # type: ignore[arg-type]


def representative(entries: Sequence[CrlEntry]) -> list[CrlEntry]:
    """One entry of each shape: a linter need not read a million that differ in number and date alone."""
    shapes = {(entry.reason, entry.invalidity_date is None): entry for entry in entries}
    return list(shapes.values())


def parse_crl(data: bytes) -> x509.CertificateRevocationList:
    """A CRL from DER or PEM, every part of it decoded.

    Raises:
        CaError: malformed, `CRL-SIZE` or `CRL-FORMAT`.
    """
    if len(data) > MAX_CRL_BYTES:
        raise refuse(Kind.MALFORMED, "CRL-SIZE", f"the CRL is over {MAX_CRL_BYTES // 1024 // 1024} MiB")
    load = x509.load_pem_x509_crl if data.lstrip().startswith(_PEM) else x509.load_der_x509_crl
    try:
        crl = load(data)
        # These are decoded when first asked for, and raise then.
        _ = crl.issuer, crl.extensions, crl.last_update_utc, crl.next_update_utc, crl.signature_algorithm_oid
        for entry in crl:
            _ = entry.extensions, entry.revocation_date_utc
    except (ValueError, TypeError, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise refuse(Kind.MALFORMED, "CRL-FORMAT", "this is not a CRL in DER or PEM") from error
    return crl


def require_signed(der: bytes, issuer: CrlIssuer) -> x509.CertificateRevocationList:
    """The CRL that these bytes are, signed by this issuer: the last look before it replaces a good one.

    Raises:
        CaError: internal, `CRL-SIGNATURE`: they are not.
    """
    crl = parse_crl(der)
    try:
        verify_signature(
            issuer.certificate.public_key(),  # type: ignore[arg-type]
            crl.signature,
            crl.tbs_certlist_bytes,
            issuer.algorithm,
        )
    except InvalidSignature as error:
        raise refuse(Kind.INTERNAL, "CRL-SIGNATURE", "the CRL is not signed by its issuer") from error
    return crl


def _extensions(issuer: CrlIssuer, crl_number: int) -> list[x509.Extension[x509.ExtensionType]]:
    """RFC 5280 §5.2: key identifier and number. A CRL that leaves nothing out needs no distribution point."""
    key_identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    values: tuple[x509.ExtensionType, ...] = (
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier),
        x509.CRLNumber(crl_number),
    )
    return [x509.Extension(value.oid, False, value) for value in values]


def _revoked(entry: CrlEntry) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial_number)
    builder = builder.revocation_date(entry.revoked_at)
    if entry.reason is not x509.ReasonFlags.unspecified:  # RFC 5280 §5.3.1: left out rather than said
        builder = builder.add_extension(x509.CRLReason(entry.reason), critical=False)
    if entry.invalidity_date is not None:
        builder = builder.add_extension(x509.InvalidityDate(entry.invalidity_date), critical=False)
    return builder.build()
