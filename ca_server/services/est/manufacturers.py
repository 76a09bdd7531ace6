"""Device identities that others issued (IEEE 802.1AR): judged by their manufacturers' anchors and CRLs.

What a manufacturer says of revocation comes from files that somebody keeps fresh. Where it cannot be known
whether a device's certificate is revoked, although the certificate says where to ask, the device is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ca_server.core.client_certificates import check_client_chain, check_device_use
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est.settings import Manufacturer
from ca_server.core.profile_words import PURPOSES
from ca_server.services.est.revocation_lists import RevocationLists, is_same_authority

MAX_ANCHOR_BYTES = 1024 * 1024
MAX_CHAIN = 10


class Manufacturers:
    """Those that the configuration trusts; one a process, safe to use from several threads."""

    def __init__(self, settings: Sequence[Manufacturer] = ()) -> None:
        """Read every file of trust anchors.

        Raises:
            CaError: malformed, `EST-TRUST-ANCHORS`: a file cannot be read or holds no certificates.
        """
        self._known = [
            (each, anchors, RevocationLists(each.revocation_lists, anchors))
            for each in settings
            for anchors in (_read_anchors(each),)
        ]

    def judge(self, certificate: x509.Certificate, now: datetime) -> Manufacturer | None:
        """The manufacturer that vouches for a device's certificate; None where none has issued it.

        Raises:
            CaError: unauthenticated, an `ACCESS-CERT-...` rule: the certificate is one's, and not good now.
        """
        for manufacturer, anchors, lists in self._known:
            chain = _chain(certificate, anchors, now)
            if len(chain) > 1:
                purposes = tuple(PURPOSES[word] for word in manufacturer.extended_key_usage)
                check_client_chain(chain, now, check_use=partial(check_device_use, purposes=purposes))
                lists.check(chain, now)
                return manufacturer
        return None


def _chain(
    certificate: x509.Certificate, anchors: Sequence[x509.Certificate], now: datetime
) -> list[x509.Certificate]:
    """The way up from a certificate, by signatures, as far as the anchors go.

    Of several certificates of one authority the one that is valid now counts, then the one that ends last;
    no authority stands there twice (RFC 4158 §2.4.2).
    """
    chain = [certificate]
    while len(chain) < MAX_CHAIN:
        issuers = [
            each
            for each in anchors
            if _is_issued_by(chain[-1], each) and not any(is_same_authority(each, below) for below in chain)
        ]
        if not issuers:
            break
        chain.append(max(issuers, key=lambda each: (_is_valid(each, now), each.not_valid_after_utc)))
    return chain


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _is_issued_by(subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    if subject.issuer != issuer.subject:
        return False
    try:
        subject.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _read_anchors(manufacturer: Manufacturer) -> tuple[x509.Certificate, ...]:
    path = Path(manufacturer.trust_anchors)
    try:
        with path.open("rb") as file:
            anchors = tuple(x509.load_pem_x509_certificates(file.read(MAX_ANCHOR_BYTES)))
        # Parsed when first asked for, and it raises then.
        _ = [each.extensions for each in anchors]
    except (OSError, ValueError) as error:
        raise _unusable(path) from error
    return anchors


def _unusable(path: Path) -> CaError:
    detail = f"{path} is no readable PEM file of certificates, {MAX_ANCHOR_BYTES // 1024} KiB at most"
    return refuse(Kind.MALFORMED, "EST-TRUST-ANCHORS", detail)
