"""Which order replaces which certificate (RFC 9773 §5): at most one that has not failed.

That an order can become nothing any more follows from its authorizations and the time, and is not stored.
The index that lets one order in knows only what is stored, so a failed one is said to be so here.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from ca_server.core.acme.resources import Order, Status
from ca_server.store.acme_tables import acme_order
from ca_server.store.orders import find_order
from ca_server.store.unit_of_work import UnitOfWork


def find_replacement(connection: Connection, certificate_id: str, now: int) -> Order | None:
    """The order that holds a certificate's one place, with its status at this second."""
    query = select(acme_order.c.id).where(
        acme_order.c.replaces == certificate_id, acme_order.c.status != Status.INVALID.value
    )
    order_id = connection.execute(query).scalar_one_or_none()
    return find_order(connection, order_id, now) if order_id else None


def give_up_failed(unit: UnitOfWork, certificate_id: str, now: int) -> bool:
    """Let a failed order leave the place to another; False where there is none that failed."""
    found = find_replacement(unit.connection, certificate_id, now)
    if found is None or found.status is not Status.INVALID:
        return False
    statement = update(acme_order).where(
        acme_order.c.id == found.id, acme_order.c.status == Status.PENDING.value
    )
    return unit.connection.execute(statement.values(status=Status.INVALID.value)).rowcount == 1
