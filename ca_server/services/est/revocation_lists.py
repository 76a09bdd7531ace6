"""The CRLs of a manufacturer, from files that somebody else keeps fresh (RFC 5280 §5, §6.3)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

from ca_server.core.errors import CaError, Kind, refuse

MAX_LIST_BYTES = 32 * 1024 * 1024
# Modification in nanoseconds, size and inode: a file that was written anew differs in one of them.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: Stamp
    crl: x509.CertificateRevocationList


class RevocationLists:
    """A few files, each read again when it has changed; safe to use from several threads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(Path(each) for each in paths)
        self._lock = threading.Lock()
        self._known: dict[Path, _Read] = {}

    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
        """Pass only a certificate that its issuer has not revoked, as far as the issuer says.

        Raises:
            CaError: unauthenticated, `ACCESS-CERT-REVOKED`; `ACCESS-CERT-STATUS`: it cannot be known, for a
                file is unreadable, a list is old or no whole one, or there is none although the
                certificate says where to ask.
        """
        lists = [each for each in map(self._read, self._paths) if _is_of(each, issuer)]
        if not lists and _names_status(certificate):
            raise _unknown("it says where its status is told, and no list of its issuer is at hand here")
        for each in lists:
            _require_usable(each, now)
            if each.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                raise refuse(
                    Kind.UNAUTHENTICATED,
                    "ACCESS-CERT-REVOKED",
                    "the client certificate or an authority above it is revoked",
                )

    def _read(self, path: Path) -> x509.CertificateRevocationList:
        try:
            with path.open("rb") as file:
                stamp = _stamp(file)
                with self._lock:
                    known = self._known.get(path)
                if known is not None and known.stamp == stamp:
                    return known.crl
                crl = _parse(file.read(MAX_LIST_BYTES + 1))
        except (OSError, ValueError) as error:
            raise _unknown("one of the lists of its manufacturer cannot be read here") from error
        with self._lock:
            self._known[path] = _Read(stamp, crl)
        return crl


def _stamp(file: BinaryIO) -> Stamp:
    status = os.fstat(file.fileno())
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _parse(data: bytes) -> x509.CertificateRevocationList:
    """A list in PEM or DER.

    Raises:
        ValueError: it is none, or too large.
    """
    if len(data) > MAX_LIST_BYTES:
        raise ValueError(f"a list has {MAX_LIST_BYTES} bytes at most")
    pem = data.startswith(b"-----BEGIN")
    crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    # Parsed when first asked for, and it raises then.
    _ = crl.extensions
    return crl


def _is_of(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    if crl.issuer != issuer.subject or not _may_sign_lists(issuer):
        return False
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm):
        # A key of a type that signs no lists.
        return False


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return False


def _require_usable(crl: x509.CertificateRevocationList, now: datetime) -> None:
    """Current, and whole: a delta, an indirect or a partial list says so in a critical extension."""
    end = crl.next_update_utc
    if end is None or not crl.last_update_utc <= now <= end:
        raise _unknown("the list of its issuer is not current")
    if any(each.critical for each in crl.extensions):
        raise _unknown("the list of its issuer is not a whole one")


def _names_status(certificate: x509.Certificate) -> bool:
    """Whether it says where to ask: a distribution point, or a responder."""
    for extension in certificate.extensions:
        if extension.oid == ExtensionOID.CRL_DISTRIBUTION_POINTS:
            return True
        if isinstance(extension.value, x509.AuthorityInformationAccess) and any(
            each.access_method == AuthorityInformationAccessOID.OCSP for each in extension.value
        ):
            return True
    return False


def _unknown(detail: str) -> CaError:
    return refuse(
        Kind.UNAUTHENTICATED,
        "ACCESS-CERT-STATUS",
        f"whether the client certificate is revoked cannot be known: {detail}",
    )
