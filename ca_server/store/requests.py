"""Stored requests as they were made, and the compromise list: what it takes to try another policy on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, literal_column, select

from ca_server.store.tables import certificate_request, compromised_key

PAGE = 500

# Written out, so that a planner sees that the partial index is meant.
IS_PENDING = certificate_request.c.status == literal_column("'pending'")


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request and what became of it; `requested` holds identifiers, role and times asked for."""

    id: str
    created_at: int
    protocol: str
    principal_id: str
    profile: str
    csr_der: bytes
    requested: dict[str, Any]
    status: str
    rule_ids: tuple[str, ...]
    detail: str


def requests_since(connection: Connection, *, profile: str, created_at: int) -> Iterator[PastRequest]:
    """Requests for a profile from that second on, oldest first, read in pages."""
    # Ids begin with their time in milliseconds and sort by it; see `services.context.new_id`.
    digits = f"{created_at * 1000:012x}"
    after = f"{digits[:8]}-{digits[8:]}"
    while True:
        rows = connection.execute(
            _select()
            .where(certificate_request.c.profile == profile, certificate_request.c.id > after)
            .order_by(certificate_request.c.id)
            .limit(PAGE)
        ).all()
        yield from map(_past_request, rows)
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def find_past_request(connection: Connection, request_id: str) -> PastRequest:
    """One stored request; a foreign key says that it is there."""
    return _past_request(connection.execute(_select().where(certificate_request.c.id == request_id)).one())


def past_requests(connection: Connection, *conditions: ColumnElement[bool], limit: int) -> list[PastRequest]:
    """Requests of which something holds, oldest first."""
    rows = connection.execute(
        _select().where(*conditions).order_by(certificate_request.c.id).limit(limit)
    ).all()
    return [_past_request(row) for row in rows]


def compromised_keys(connection: Connection) -> frozenset[str]:
    """The SPKI digests of every key on the compromise list."""
    return frozenset(connection.execute(select(compromised_key.c.spki_sha256)).scalars())


def _select() -> Select[Any]:
    return select(*(certificate_request.c[name] for name in PastRequest.__dataclass_fields__))


def _past_request(row: Row[Any]) -> PastRequest:
    return PastRequest(
        id=row.id,
        created_at=row.created_at,
        protocol=row.protocol,
        principal_id=row.principal_id,
        profile=row.profile,
        csr_der=bytes(row.csr_der),
        requested=json.loads(row.requested),
        status=row.status,
        rule_ids=tuple(json.loads(row.rule_ids)),
        detail=row.detail,
    )
