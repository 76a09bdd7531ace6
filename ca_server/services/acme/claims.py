"""Takes ready orders in the transaction that stores their intents: a second taker finds nothing (R36)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.identifiers import Identifier
from ca_server.services.acme.order_limits import count_certificates
from ca_server.store.issuance import StoredIntent
from ca_server.store.orders import claim_order
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class OrderClaim:
    """The order that a certificate is for, and the names that count against limits: none of a renewal.

    `thumbprint` is of the key that asked: an account that changed its key meanwhile did not ask.
    """

    order_id: str
    thumbprint: str
    counted: frozenset[Identifier]
    limits: AcmeLimits


def take_orders(unit: UnitOfWork, claims: Sequence[tuple[OrderClaim, StoredIntent]]) -> None:
    """Take the orders of a batch; in the order of their ids, so that no two batches wait for each other.

    Raises:
        OrderTaken: one of them is not ready (any more); the caller leaves without a commit.
    """
    if not claims:
        return
    ordered = sorted(claims, key=lambda each: each[0].order_id)
    for claim, intent in ordered:
        claim_order(unit, claim.order_id, claim.thumbprint, intent.request_id, intent.created_at)
    first, intent = ordered[0]
    count_certificates(
        unit, first.limits, [each.counted for each, _ in ordered if each.counted], intent.created_at
    )
