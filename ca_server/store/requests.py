"""Stored requests as they were made, and the compromise list: what it takes to try another policy on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ca_server.store.tables import certificate_request, compromised_key

PAGE = 500


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request and what became of it; `requested` holds identifiers, role and times asked for."""

    id: str
    created_at: int
    protocol: str
    principal_id: str
    csr_der: bytes
    requested: dict[str, Any]
    status: str
    rule_ids: tuple[str, ...]


def requests_since(connection: Connection, *, profile: str, created_at: int) -> Iterator[PastRequest]:
    """Requests for a profile from that second on, oldest first, read in pages."""
    # Ids begin with their time in milliseconds and sort by it; see `services.context.new_id`.
    digits = f"{created_at * 1000:012x}"
    after = f"{digits[:8]}-{digits[8:]}"
    while True:
        rows = connection.execute(
            select(*(certificate_request.c[name] for name in PastRequest.__dataclass_fields__))
            .where(certificate_request.c.profile == profile)
            .where(certificate_request.c.id > after)
            .order_by(certificate_request.c.id)
            .limit(PAGE)
        ).all()
        for row in rows:
            yield PastRequest(
                id=row.id,
                created_at=row.created_at,
                protocol=row.protocol,
                principal_id=row.principal_id,
                csr_der=bytes(row.csr_der),
                requested=json.loads(row.requested),
                status=row.status,
                rule_ids=tuple(json.loads(row.rule_ids)),
            )
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def compromised_keys(connection: Connection) -> frozenset[str]:
    """The SPKI digests of every key on the compromise list."""
    return frozenset(connection.execute(select(compromised_key.c.spki_sha256)).scalars())
