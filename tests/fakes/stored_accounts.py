"""An account put straight into a database, for what only needs that there is one."""

from __future__ import annotations

import secrets

from sqlalchemy import insert

from ca_server.core.acme.resources import Account, Status
from ca_server.core.clock import to_epoch
from ca_server.services.context import Context, new_id, process_actor
from ca_server.store.acme_tables import acme_account


def store_account(context: Context, directory: str = "tls-server") -> Account:
    """A valid account whose key nobody has."""
    now = context.clock.now()
    account = Account(
        id=new_id(now),
        directory=directory,
        status=Status.VALID,
        thumbprint=secrets.token_urlsafe(32),
        jwk={},
        contacts=(),
        terms_agreed_at=None,
        created_at=to_epoch(now),
        binding=None,
    )
    event = context.event("software.started", process_actor("test"), {"process": "test", "version": "0"})
    with context.database.write() as unit:
        unit.connection.execute(
            insert(acme_account).values(
                id=account.id,
                directory=directory,
                key_thumbprint=account.thumbprint,
                jwk="{}",
                status="valid",
                contacts="[]",
                created_at=account.created_at,
                event_id=event.event_id,
            )
        )
        unit.commit(event)
    return account
