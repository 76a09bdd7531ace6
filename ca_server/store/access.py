"""Rows of what may log in: API tokens by the SHA-256 of their secret, granted keys by the SHA-256 of theirs.

Both are one shape with one column of their own, so they share every statement. Secrets never come here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca_server.core.authorization import Role
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.core.errors import Kind, refuse
from ca_server.store import tables
from ca_server.store.prepared import Prepared


class CredentialType(StrEnum):
    """The two things by which a client can prove who it is."""

    TOKEN = "token"  # noqa: S105 - a type's name
    GRANT = "grant"


@dataclass(frozen=True, slots=True)
class Credential:
    """One row: `digest` is lower-case hex of the secret's, or of the public key's, SHA-256."""

    id: str
    digest: str
    name: str
    role: Role
    profiles: tuple[str, ...]
    names: tuple[str, ...]
    created_at: datetime
    not_after: datetime
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Neither revoked nor past its end."""
        return self.revoked_at is None and now <= self.not_after


_TABLES: dict[CredentialType, tuple[Table, Column[Any]]] = {
    CredentialType.TOKEN: (tables.api_token, tables.api_token.c.secret_sha256),
    CredentialType.GRANT: (tables.client_grant, tables.client_grant.c.spki_sha256),
}


def _select(credential_type: CredentialType) -> Select[Any]:
    table, digest = _TABLES[credential_type]
    return select(
        *(digest if each == "digest" else table.c[each] for each in Credential.__dataclass_fields__)
    )


# Every request with a token asks this.
_FIND = {
    each: Prepared(_select(each).where(digest == bindparam("given"))) for each, (_, digest) in _TABLES.items()
}


def insert_credential(
    connection: Connection, credential_type: CredentialType, credential: Credential, event_id: str
) -> None:
    """Store a new token or grant.

    Raises:
        CaError: conflict, `ACCESS-TAKEN`: this key has a grant already, perhaps a revoked one.
    """
    table, digest = _TABLES[credential_type]
    row = {
        "id": credential.id,
        digest.name: credential.digest,
        "name": credential.name,
        "role": credential.role,
        "profiles": json.dumps(credential.profiles),
        "names": json.dumps(credential.names),
        "created_at": to_epoch(credential.created_at),
        "not_after": to_epoch(credential.not_after),
        "event_id": event_id,
    }
    try:
        connection.execute(insert(table), row)
    except IntegrityError as error:
        raise refuse(
            Kind.CONFLICT, "ACCESS-TAKEN", "this key was granted a role already; use another key"
        ) from error


def find_credential(
    connection: Connection, credential_type: CredentialType, digest: str
) -> Credential | None:
    """The token or grant with this digest, live or not."""
    row = _FIND[credential_type].first(connection, {"given": digest})
    return _credential(row) if row else None


def list_credentials(
    connection: Connection,
    credential_type: CredentialType,
    *,
    after: str | None = None,
    limit: int,
) -> list[Credential]:
    """Newest first, revoked ones too; `after` is the id of the last one seen, and ids sort by time."""
    table, _ = _TABLES[credential_type]
    query = _select(credential_type).order_by(table.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(table.c.id < after)
    return [_credential(row) for row in connection.execute(query)]


def revoke_credential(
    connection: Connection, credential_type: CredentialType, credential_id: str, now: datetime
) -> bool:
    """End a token or grant for ever; False when there is no such one or it was ended before."""
    table, _ = _TABLES[credential_type]
    statement = (
        update(table)
        .where(table.c.id == credential_id, table.c.revoked_at.is_(None))
        .values(revoked_at=to_epoch(now))
    )
    return connection.execute(statement).rowcount == 1


def _credential(row: Sequence[Any]) -> Credential:
    """A row of `_select`."""
    key, digest, name, role, profiles, names, created_at, not_after, revoked_at = row
    return Credential(
        id=key,
        digest=digest,
        name=name,
        role=Role(role),
        profiles=tuple(json.loads(profiles)),
        names=tuple(json.loads(names)),
        created_at=from_epoch(created_at),
        not_after=from_epoch(not_after),
        revoked_at=None if revoked_at is None else from_epoch(revoked_at),
    )
