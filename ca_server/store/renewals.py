"""What renewal information is made of: the certificate that a name stands for, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy import Connection

from ca_server.store import inventory
from ca_server.store.authorities import authority_chain, list_authorities
from ca_server.store.inventory import CertificateFilter, CertificateRecord, Sort
from ca_server.store.issuance import is_compromised
from ca_server.store.renewal_flags import Flaggable, RenewalFlag, find_flag


@dataclass(frozen=True, slots=True)
class Urgency:
    """Whether a certificate is to be renewed now, and the flag that says so if it is one."""

    flag: RenewalFlag | None
    forced: bool


def find_urgency(connection: Connection, found: CertificateRecord) -> Urgency:
    """What speaks for renewing at once: a flag of an officer, or that the certificate is spoiled."""
    named = Flaggable(found.id, found.authority_id, found.serial_number, found.profile)
    flag = find_flag(connection, named)
    return Urgency(flag, forced=flag is not None or is_spoiled(connection, found))


def find_named(
    connection: Connection, key_identifier: bytes, serial_number: int, now: datetime
) -> CertificateRecord | None:
    """The certificate of this serial number whose authority has the key of this identifier."""
    authority_id = next(
        (
            each.id
            for each in list_authorities(connection)
            if _key_identifier(each.certificate_der) == key_identifier
        ),
        None,
    )
    if authority_id is None:
        return None
    wanted = CertificateFilter(authority_id=authority_id, serial_number=f"{serial_number:040x}")
    found = inventory.list_certificates(connection, wanted, sort=Sort.NEWEST, after=None, limit=1, now=now)
    return found[0] if found else None


def is_spoiled(connection: Connection, found: CertificateRecord) -> bool:
    """Revoked or on hold, itself or an authority above it, or with a key on the compromise list."""
    if found.revoked_at is not None or is_compromised(connection, found.spki_sha256):
        return True
    return any(
        inventory.is_revoked(connection, each.issuer_id, each.serial_number)
        for each in authority_chain(connection, found.authority_id)
        if each.issuer_id is not None
    )


def _key_identifier(der: bytes) -> bytes | None:
    """What the authority's certificates say of their issuer; see `core.extensions`."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None
