"""Our own certificate authorities: written once by an import, read by everything that signs or publishes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from ca_server.store.prepared import Prepared
from ca_server.store.tables import authority
from ca_server.store.unit_of_work import UnitOfWork

MAX_CHAIN = 10
_FIND = Prepared(select(authority).where(authority.c.id == bindparam("given")))
_COLUMNS = [column.name for column in authority.c]


@dataclass(frozen=True, slots=True)
class StoredAuthority:
    """An authority as it is kept; a root has no `issuer_id`, an offline key no `key_uri` (RFC 7512)."""

    id: str
    issuer_id: str | None
    role: str
    state: str
    certificate_der: bytes
    serial_number: str
    spki_sha256: str
    key_uri: str | None
    signature_algorithm: str
    last_crl_number: int
    created_at: int
    event_id: str


def list_authorities(connection: Connection) -> list[StoredAuthority]:
    """Every authority there ever was, by id; there are few."""
    rows = connection.execute(select(authority).order_by(authority.c.id)).mappings()
    return [_authority(row) for row in rows]


def find_authority(connection: Connection, authority_id: str) -> StoredAuthority | None:
    """One authority by its id."""
    row = _FIND.first(connection, {"given": authority_id})
    return StoredAuthority(**dict(zip(_COLUMNS, row, strict=True))) if row else None


def find_authority_of_key(connection: Connection, spki_sha256: str) -> StoredAuthority | None:
    """The authority that has this key."""
    query = select(authority).where(authority.c.spki_sha256 == spki_sha256)
    row = connection.execute(query).mappings().one_or_none()
    return _authority(row) if row else None


def authority_chain(connection: Connection, authority_id: str) -> list[StoredAuthority]:
    """The authority, its issuer, and so on to the root; empty when there is no such authority."""
    chain: list[StoredAuthority] = []
    next_id: str | None = authority_id
    while next_id is not None and len(chain) < MAX_CHAIN:
        found = find_authority(connection, next_id)
        if found is None:
            return []
        chain.append(found)
        next_id = found.issuer_id
    return chain


def insert_authority(work: UnitOfWork, stored: StoredAuthority) -> None:
    """Add an authority after its issuer; the caller's commit brings its event."""
    work.connection.execute(insert(authority).values(**asdict(stored)))


def revoke_authority(work: UnitOfWork, authority_id: str) -> bool:
    """Let an authority sign nothing any more; False when that is so already. The caller brings the event."""
    statement = (
        update(authority)
        .where(authority.c.id == authority_id, authority.c.state != "revoked")
        .values(state="revoked")
    )
    return work.connection.execute(statement).rowcount == 1


def _authority(row: RowMapping) -> StoredAuthority:
    return StoredAuthority(**row)
