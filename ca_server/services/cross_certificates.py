"""Other ways up from our authorities, for relying parties who trust another root, or our last or next one.

An operator lists PEM files: each has a cross-certificate of one of our authorities, and what is above it.
Whatever would not verify at a client is refused when a process starts. Others came with ceremonies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import key_type_of, spki_sha256
from ca_server.services.context import Context
from ca_server.store.authorities import StoredAuthority, authority_chain, find_authority_of_key
from ca_server.store.ceremonies import list_certificates

MAX_FILE_BYTES = 64 * 1024
MAX_CERTIFICATES = 10


@dataclass(frozen=True, slots=True)
class CrossChain:
    """Another way up from one of our authorities: its cross-certificate and those above, without a root."""

    authority_id: str
    certificates: tuple[x509.Certificate, ...]


def read_cross_chains(context: Context, paths: Sequence[Path]) -> tuple[CrossChain, ...]:
    """The other ways up that the configuration lists, in its order.

    Raises:
        CaError: malformed, `CONFIG-CROSS-CERTIFICATE`; unavailable.
    """
    return tuple(_chain(context, path) for path in paths)


def imported_cross_chains(context: Context) -> tuple[CrossChain, ...]:
    """The other ways up that ceremonies brought and that are valid now: cross and link certificates of ours.

    Raises:
        CaError: unavailable.
    """
    now = context.clock.now()
    with context.database.read() as connection:
        stored = [each for each in list_certificates(connection) if each.subject_id is not None]
        above = {
            each.issuer_id: authority_chain(connection, each.issuer_id) for each in stored if each.issuer_id
        }
    chains = []
    for each in stored:
        issuers = above[each.issuer_id] if each.issuer_id else []
        ders = [each.der, *(one.certificate_der for one in issuers if one.issuer_id)]
        certificates = tuple(map(x509.load_der_x509_certificate, ders))
        if all(one.not_valid_before_utc <= now <= one.not_valid_after_utc for one in certificates):
            chains.append(CrossChain(str(each.subject_id), certificates))
    return tuple(chains)


def _chain(context: Context, path: Path) -> CrossChain:
    certificates = _read(path)
    _check_links(path, certificates, context.clock.now())
    crossed, last = certificates[0], certificates[-1]
    chain = _own_chain(context, crossed)
    own = x509.load_der_x509_certificate(chain[0].certificate_der) if chain else None
    if own is None or own.subject.public_bytes() != crossed.subject.public_bytes():
        raise _refused(
            path, "its first certificate has not the key and the subject of one of our authorities"
        )
    # A root's successor often has its name (RFC 4210 §4.4): only its key tells another issuer.
    if _is_issued_by(crossed, x509.load_der_x509_certificate(chain[:2][-1].certificate_der)):
        raise _refused(path, "its first certificate has the issuer that our own certificate has")
    return CrossChain(chain[0].id, certificates[:-1] if _is_issued_by(last, last) else certificates)


def _own_chain(context: Context, crossed: x509.Certificate) -> list[StoredAuthority]:
    """The authority of ours that has its key, and those above; empty where none has."""
    public_key = crossed.public_key()
    if key_type_of(public_key) is None:
        return []
    with context.database.read() as connection:
        found = find_authority_of_key(connection, spki_sha256(public_key))  # type: ignore[arg-type]
        return authority_chain(connection, found.id) if found else []


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """By name and by signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _read(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        certificates = tuple(x509.load_pem_x509_certificates(data[:MAX_FILE_BYTES]))
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise _refused(path, "it is not PEM certificates") from error
    if len(data) > MAX_FILE_BYTES or len(certificates) > MAX_CERTIFICATES:
        raise _refused(path, f"{MAX_CERTIFICATES} certificates in {MAX_FILE_BYTES} bytes are accepted")
    return certificates


def _check_links(path: Path, certificates: Sequence[x509.Certificate], now: datetime) -> None:
    """Each issued by the next, every one an authority's and valid now (RFC 5280 §6.1)."""
    for certificate in certificates:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise _refused(path, "a certificate is not valid now")
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            is_authority = constraints.value.ca
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            is_authority = False
        if not is_authority:
            raise _refused(path, "a certificate is not an authority's")
    if not all(_is_issued_by(subject, issuer) for subject, issuer in pairwise(certificates)):
        raise _refused(path, "a certificate is not issued by the one after it")


def _refused(path: Path, detail: str) -> CaError:
    return refuse(
        Kind.MALFORMED,
        "CONFIG-CROSS-CERTIFICATE",
        f"{path}: {detail}",
        pointer="/publication/cross_certificates",
    )
