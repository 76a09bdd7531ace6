"""What an order is, given what its authorizations are (RFC 8555 §7.1.6). Nothing here is stored twice."""

from __future__ import annotations

from collections.abc import Collection

from ca_server.core.acme.resources import Status


def authorization_status(stored: Status, expires_at: int, now: int) -> Status:
    """An authorization's status at this second: what was pending or valid expires."""
    if stored in {Status.PENDING, Status.VALID} and expires_at <= now:
        return Status.EXPIRED
    return stored


def order_status(stored: Status, authorizations: Collection[Status], expires_at: int, now: int) -> Status:
    """An order's status at this second, from what is stored and its authorizations' statuses.

    A stored `pending` stands for pending, ready or, where it can become nothing else any more, invalid.
    """
    if stored is not Status.PENDING:
        return stored
    if expires_at <= now:
        return Status.INVALID
    if any(each not in {Status.PENDING, Status.VALID} for each in authorizations):
        return Status.INVALID
    if authorizations and all(each is Status.VALID for each in authorizations):
        return Status.READY
    return Status.PENDING
