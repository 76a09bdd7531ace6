"""Which roots this host trusts, which new ones it may take over, and the chain from a certificate to one.

Pure: certificates in, certificates out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca_server.core.errors import CaError, Kind

Certificates = tuple[x509.Certificate, ...]

MAX_INTERMEDIATES = 8

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def parse_anchors(data: bytes, where: str) -> Certificates:
    """The trust anchors in a PEM file, or the one in a DER file.

    Raises:
        CaError: malformed, there is none.
    """
    try:
        if data.startswith(b"\x30"):
            return (x509.load_der_x509_certificate(data),)
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise CaError(Kind.MALFORMED, f"{where} holds no certificate in PEM or DER") from error


def parse_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint in its one form, whatever colons, spaces and case people type.

    Raises:
        CaError: malformed, it is none.
    """
    found = re.sub(r"[:\s]", "", text).lower()
    if not _FINGERPRINT.fullmatch(found):
        raise CaError(Kind.MALFORMED, "a fingerprint is the SHA-256 of the root certificate, 64 hex digits")
    return found


def fingerprint(certificate: x509.Certificate) -> str:
    """Lower-case hex SHA-256 of the DER."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def root_with(wanted: str, offered: Certificates) -> x509.Certificate:
    """The root of this fingerprint among the certificates that nobody vouches for yet (RFC 7030 §4.1.1).

    Raises:
        CaError: unauthenticated, it is not there.
    """
    for each in offered:
        if fingerprint(each) == wanted and is_root(each):
            return each
    shown = ", ".join(fingerprint(each) for each in offered if is_root(each)) or "none"
    raise CaError(
        Kind.UNAUTHENTICATED,
        f"the server shows no root with the fingerprint {wanted}; its roots are {shown}."
        " Compare with what your CA's people published: the fingerprint or the URL is wrong,"
        " or somebody stands between",
    )


def is_root(certificate: x509.Certificate) -> bool:
    """Whether it is a CA's certificate, signed by its own key."""
    return _is_ca(certificate) and is_issued_by(certificate, certificate)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name and signature are on it; neither's time is looked at."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def with_new_roots(anchors: Certificates, offered: Certificates, now: datetime) -> Certificates:
    """The anchors and the roots that take over from one of them, by NewWithOld (RFC 7030 §4.1.3).

    That is a certificate in force of the same name with the new root's key, signed by the old one's. A root
    that comes without is not taken, whoever offers it, and an anchor goes when it has ended, if others stay.
    """
    found = list(anchors)
    crosses = [each for each in offered if each.subject == each.issuer and _in_force(each, now)]
    candidates = [each for each in offered if each not in found and is_root(each) and _in_force(each, now)]
    while taken := [
        root
        for root in candidates
        if any(_same_ca(cross, root) and any(is_issued_by(cross, old) for old in found) for cross in crosses)
    ]:
        found = [*taken, *found]
        candidates = [each for each in candidates if each not in taken]
    lasting = [each for each in found if now <= each.not_valid_after_utc]
    return tuple(lasting or found)


def chain_of(
    leaf: x509.Certificate, offered: Certificates, anchors: Certificates, now: datetime
) -> Certificates:
    """The shortest chain of intermediates from the leaf's issuer up to one that an anchor issued.

    Where that anchor took over from another one that is trusted still, NewWithOld follows: peers of this host
    may not have heard of the new root yet.

    Raises:
        CaError: unauthenticated, there is none.
    """
    usable = [each for each in offered if _is_ca(each) and now <= each.not_valid_after_utc]
    paths: list[Certificates] = [()]
    seen = {leaf}
    for _ in range(MAX_INTERMEDIATES + 1):
        for path in paths:
            top = path[-1] if path else leaf
            for anchor in anchors:
                if is_issued_by(top, anchor):
                    return (*path, *_bridges(anchor, usable, anchors))
        paths = [
            (*path, each) for path in paths for each in _issuers(path[-1] if path else leaf, usable, seen)
        ]
    raise CaError(
        Kind.UNAUTHENTICATED,
        "no chain leads from the certificate to the roots that are trusted here;"
        " if the CA has a new root, get it from its people and give it by --root",
    )


def pem_of(certificates: Iterable[x509.Certificate]) -> str:
    """The certificates one after the other."""
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in certificates)


def spki_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """Its public key in DER, by which keys are compared."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _issuers(
    certificate: x509.Certificate, usable: Sequence[x509.Certificate], seen: set[x509.Certificate]
) -> list[x509.Certificate]:
    found = [each for each in usable if each not in seen and is_issued_by(certificate, each)]
    seen.update(found)
    return found


def _bridges(
    anchor: x509.Certificate, usable: Sequence[x509.Certificate], anchors: Certificates
) -> Certificates:
    others = [each for each in anchors if each != anchor]
    crosses = [each for each in usable if each != anchor and _same_ca(each, anchor)]
    return tuple(each for each in crosses if any(is_issued_by(each, other) for other in others))


def _same_ca(one: x509.Certificate, other: x509.Certificate) -> bool:
    return _is_ca(one) and one.subject == other.subject and spki_of(one) == spki_of(other)


def _in_force(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False
