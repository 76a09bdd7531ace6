"""Imported ceremonies, and what came with them beside authorities and CRLs; all of it is written once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from ca_server.store.ceremony_tables import authority_certificate, ceremony, ceremony_key
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class StoredCeremony:
    """A ceremony whose bundle was imported; digests are hex SHA-256, the time seconds since 1970."""

    bundle_sha256: str
    id: str
    kind: str
    mode: str
    closing_sha256: str
    imported_at: int
    event_id: str


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A cross or link certificate; `subject_id` and `issuer_id` are authorities of ours, where they are."""

    name: str
    role: str
    subject_id: str | None
    issuer_id: str | None
    sha256: str
    der: bytes
    bundle_sha256: str
    event_id: str


def find_ceremony(connection: Connection, closing_sha256: str) -> StoredCeremony | None:
    """The ceremony that ended with this closing statement."""
    query = select(ceremony).where(ceremony.c.closing_sha256 == closing_sha256)
    row = connection.execute(query).mappings().one_or_none()
    return StoredCeremony(**row) if row else None


def find_key_uri(connection: Connection, spki_sha256: str) -> str | None:
    """Where a key is that an imported ceremony made."""
    query = select(ceremony_key.c.key_uri).where(ceremony_key.c.spki_sha256 == spki_sha256)
    return connection.execute(query).scalar_one_or_none()


def find_certificate(connection: Connection, name: str) -> StoredCertificate | None:
    """A cross or link certificate by its name."""
    query = select(authority_certificate).where(authority_certificate.c.name == name)
    row = connection.execute(query).mappings().one_or_none()
    return StoredCertificate(**row) if row else None


def list_certificates(connection: Connection) -> list[StoredCertificate]:
    """Every cross and link certificate, by name; there are few."""
    rows = connection.execute(select(authority_certificate).order_by(authority_certificate.c.name)).mappings()
    return [StoredCertificate(**row) for row in rows]


def insert_ceremony(work: UnitOfWork, stored: StoredCeremony, keys: Mapping[str, str]) -> None:
    """Add a ceremony with the keys it made, SPKI digest -> URI; the caller's commit brings its event."""
    work.connection.execute(insert(ceremony).values(**asdict(stored)))
    rows = [
        {"spki_sha256": spki_sha256, "key_uri": uri, "bundle_sha256": stored.bundle_sha256}
        for spki_sha256, uri in keys.items()
    ]
    if rows:
        work.connection.execute(insert(ceremony_key), rows)


def insert_certificate(work: UnitOfWork, stored: StoredCertificate) -> None:
    """Add a certificate after the authorities that it names; the caller's commit brings its event."""
    work.connection.execute(insert(authority_certificate).values(**asdict(stored)))
