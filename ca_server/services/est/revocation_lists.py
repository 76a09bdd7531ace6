"""The CRLs of a manufacturer, from files that somebody else keeps fresh (RFC 5280 §5, §6.3)."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

from ca_server.core.errors import CaError, Kind, refuse

MAX_LIST_BYTES = 32 * 1024 * 1024
_DER_SEQUENCE = b"\x30"
_PEM_LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
# Modification in nanoseconds, size and inode: a file that was written anew differs in one of them.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _List:
    """A CRL, and the anchor whose key has signed it; None where no anchor of its issuer's name has."""

    crl: x509.CertificateRevocationList
    signer: x509.Certificate | None


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: Stamp
    lists: tuple[_List, ...]


class RevocationLists:
    """A few files, each read again when it has changed; safe to use from several threads.

    `anchors` are the manufacturer's authorities. A list under the name of none of them says nothing here.
    """

    def __init__(self, paths: Sequence[str], anchors: Sequence[x509.Certificate]) -> None:
        self._paths = tuple(Path(each) for each in paths)
        self._anchors = tuple(anchors)
        self._lock = threading.Lock()
        self._known: dict[Path, _Read] = {}

    def check(self, chain: Sequence[x509.Certificate], now: datetime) -> None:
        """Pass only a chain in which no issuer has revoked what is below it, as far as the issuers say.

        Where there are files, one has a list of the first certificate's issuer.

        Raises:
            CaError: unauthenticated, `ACCESS-CERT-REVOKED`; `ACCESS-CERT-STATUS`: it cannot be known, for a
                file is unreadable, a list is old, no whole one or not signed by its issuer, or there is
                none although one is needed.
        """
        lists = [each for path in self._paths for each in self._read(path)]
        for depth, (certificate, issuer) in enumerate(pairwise(chain)):
            is_needed = _names_status(certificate) or (depth == 0 and bool(self._paths))
            for crl in _lists_of(issuer, lists, is_needed=is_needed):
                _require_usable(crl, now)
                if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                    raise refuse(
                        Kind.UNAUTHENTICATED,
                        "ACCESS-CERT-REVOKED",
                        "the client certificate or an authority above it is revoked",
                    )

    def _read(self, path: Path) -> tuple[_List, ...]:
        try:
            with path.open("rb") as file:
                stamp = _stamp(file)
                with self._lock:
                    known = self._known.get(path)
                if known is not None and known.stamp == stamp:
                    return known.lists
                crls = _parse(file.read(MAX_LIST_BYTES + 1))
        except (OSError, ValueError) as error:
            raise _unknown("one of the lists of its manufacturer cannot be read here") from error
        lists = tuple(_List(crl, _signer(crl, self._anchors)) for crl in crls)
        with self._lock:
            self._known[path] = _Read(stamp, lists)
        return lists


def is_same_authority(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Whether two certificates have one name and one key (RFC 5280 §3.2, a renewed authority)."""
    return one.subject == other.subject and one.public_key() == other.public_key()


def _lists_of(
    issuer: x509.Certificate, lists: Sequence[_List], *, is_needed: bool
) -> list[x509.CertificateRevocationList]:
    """The lists that an authority has signed.

    Those of another key under its name are passed over when it has one itself, as after a change of keys.

    Raises:
        CaError: unauthenticated, `ACCESS-CERT-STATUS`: nobody can have signed one in its name, or it has none
            and one is needed, or there is one of another key.
    """
    named = [each for each in lists if each.crl.issuer == issuer.subject]
    signers = [each.signer for each in named]
    if None in signers:
        raise _unknown("a list in its issuer's name has no signature of its issuer that is accepted here")
    own = [each.crl for each in named if each.signer and is_same_authority(each.signer, issuer)]
    if not own and (named or is_needed):
        raise _unknown("no list of its issuer is at hand here")
    return own


def _stamp(file: BinaryIO) -> Stamp:
    status = os.fstat(file.fileno())
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _parse(data: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """One list in DER, or every list of a PEM file.

    Raises:
        ValueError: there is none, one is none, there is something else, or it is too large.
    """
    if len(data) > MAX_LIST_BYTES:
        raise ValueError(f"a list has {MAX_LIST_BYTES} bytes at most")
    if data.startswith(_DER_SEQUENCE):
        crls = [x509.load_der_x509_crl(data)]
    else:
        blocks = _PEM_LIST.findall(data)
        if not blocks or len(blocks) != data.count(b"-----BEGIN "):
            raise ValueError("something in the file is no whole list")
        crls = [x509.load_pem_x509_crl(each) for each in blocks]
    # Parsed when first asked for, and it raises then.
    _ = [(each.extensions, each.issuer) for each in crls]
    return tuple(crls)


def _signer(
    crl: x509.CertificateRevocationList, anchors: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    return next((each for each in anchors if crl.issuer == each.subject and _has_signed(each, crl)), None)


def _has_signed(issuer: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    if not _may_sign_lists(issuer):
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
