"""Is this chain good for logging in? Signatures, times, and what the certificates say they are for.

Revocation and the grant are the caller's: they need the database. Nothing here trusts what the client
sent besides its own certificate; the authorities above it come from our own records (R13, R20).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.public_keys import require_known
from ca_server.core.signatures import PublicKey, spki_sha256

MAX_CERTIFICATE_BYTES = 16 * 1024
UseCheck = Callable[[x509.Certificate], None]
# What is judged here, or narrows nothing (certificatePolicies: no policy is asked for).
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)
_T = TypeVar("_T", bound=x509.ExtensionType)


def parse_certificate(der: bytes) -> x509.Certificate:
    """A certificate from the TLS layer, as a value.

    Raises:
        CaError: unauthenticated, `ACCESS-CERT-FORMAT`: too large, not DER, or an extension that is none.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise _refusal("ACCESS-CERT-FORMAT", f"a client certificate may have {MAX_CERTIFICATE_BYTES} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        # These are parsed when first asked for, and raise then.
        _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.serial_number
    except ValueError as error:
        raise _refusal("ACCESS-CERT-FORMAT", "the client certificate is not well formed") from error
    return certificate


def key_digest(certificate: x509.Certificate) -> str:
    """The name of a client certificate's key, under which it is granted a role or listed as compromised.

    Raises:
        CaError: unauthenticated, `ACCESS-CERT-FORMAT`: a key that cannot be read, or of no known type.
    """
    return spki_sha256(_known_key(certificate))


def check_client_chain(
    chain: Sequence[x509.Certificate], now: datetime, *, check_use: UseCheck | None = None
) -> None:
    """Pass only a chain by which its first certificate may log in now.

    `chain` runs from the client's certificate to the root (RFC 5280 §6.1, names and signatures upwards).
    `check_use` judges the purposes of a certificate that others issued; ours says clientAuth itself. Name
    constraints are not evaluated, so others' authorities may have none; what ours issued is in our records.

    Raises:
        CaError: unauthenticated, `ACCESS-CERT-CHAIN`, `ACCESS-CERT-EXTENSION`, `ACCESS-CERT-FORMAT`,
            `ACCESS-CERT-TIME` or `ACCESS-CERT-USE`.
    """
    understood = _UNDERSTOOD if check_use else _UNDERSTOOD | {ExtensionOID.NAME_CONSTRAINTS}
    if len(chain) < 2:
        raise _refusal("ACCESS-CERT-CHAIN", "the client certificate has no authority above it")
    for certificate in chain:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise _refusal("ACCESS-CERT-TIME", "the client certificate or its authority is not valid now")
        _require_understood(certificate, understood)
        _known_key(certificate)
    for subject, issuer in pairwise(chain):
        _require_issued_by(subject, issuer)
    for depth, authority in enumerate(chain[1:]):
        _require_authority(authority, depth, may_leave_usage_out=check_use is not None)
    _require_end_entity(chain[0])
    (check_use or _require_client_purpose)(chain[0])


def check_device_use(certificate: x509.Certificate, purposes: Collection[x509.ObjectIdentifier]) -> None:
    """Pass a device identity for logging in: by one of `purposes`, or as IEEE 802.1AR lets it say nothing.

    Where no purposes are asked for, one without extended key usage is good for every purpose (RFC 5280
    §4.2.1.12), and one with it has clientAuth.

    Raises:
        CaError: unauthenticated, `ACCESS-CERT-USE`.
    """
    found = _extension(certificate, x509.ExtendedKeyUsage)
    if found is None and not purposes:
        return
    wanted = purposes or (ExtendedKeyUsageOID.CLIENT_AUTH,)
    if found is None or not any(each in found for each in wanted):
        raise _refusal("ACCESS-CERT-USE", "the device certificate's extended key usage does not allow this")


def _known_key(certificate: x509.Certificate) -> PublicKey:
    try:
        return require_known(certificate.public_key())[0]
    except (CaError, ValueError, UnsupportedAlgorithm) as error:
        detail = "a key in the client certificate's chain is not sound, or of a type that is not known here"
        raise _refusal("ACCESS-CERT-FORMAT", detail) from error


def _require_understood(certificate: x509.Certificate, understood: Collection[x509.ObjectIdentifier]) -> None:
    """RFC 5280 §4.2; name constraints count as critical, which §4.2.1.10 has them be."""
    for each in certificate.extensions:
        narrows = each.critical or each.oid == ExtensionOID.NAME_CONSTRAINTS
        if narrows and each.oid not in understood:
            detail = f"the critical extension {each.oid.dotted_string} in its chain is not judged here"
            raise _refusal("ACCESS-CERT-EXTENSION", f"the client certificate is refused: {detail}")


def _require_issued_by(subject: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        subject.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise _refusal("ACCESS-CERT-CHAIN", "the client certificate does not chain to our root") from error


def _require_authority(certificate: x509.Certificate, depth: int, *, may_leave_usage_out: bool) -> None:
    """`depth` counts the authorities below this one (RFC 5280 §4.2.1.9).

    Others' authorities, such as a root that OpenSSL made, may say nothing of their key's usage (§6.1.4 (n)).
    """
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    may_sign = may_leave_usage_out if usage is None else usage.key_cert_sign
    if constraints is None or not constraints.ca or not may_sign:
        raise _refusal("ACCESS-CERT-CHAIN", "a certificate above the client's is not an authority's")
    if constraints.path_length is not None and constraints.path_length < depth:
        raise _refusal("ACCESS-CERT-CHAIN", "the chain is longer than an authority in it allows")


def _require_end_entity(certificate: x509.Certificate) -> None:
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    if constraints is not None and constraints.ca:
        raise _refusal("ACCESS-CERT-USE", "an authority's certificate does not log in")
    if usage is not None and not usage.digital_signature:
        raise _refusal("ACCESS-CERT-USE", "the client certificate's key usage lacks digitalSignature")


def _require_client_purpose(certificate: x509.Certificate) -> None:
    """A certificate of ours says clientAuth itself; anyExtendedKeyUsage does not."""
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise _refusal("ACCESS-CERT-USE", "the client certificate's extended key usage lacks clientAuth")


def _extension(certificate: x509.Certificate, kind: type[_T]) -> _T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _refusal(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.UNAUTHENTICATED, rule_id, detail)
