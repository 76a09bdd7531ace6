"""What became of an order, as one readable line after another: for whoever asks why it failed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ca_server.core.acme.resources import NameAuthorization, Order, Status
from ca_server.core.authorization import Principal
from ca_server.core.clock import from_epoch, to_epoch, to_text
from ca_server.core.errors import Kind, refuse
from ca_server.core.roles import Action
from ca_server.services.access import require_permission
from ca_server.services.context import Context
from ca_server.store import accounts, authorizations, orders, validations
from ca_server.store.orders import Finalization
from ca_server.store.validations import StoredAttempt

_ALIVE = {Status.PENDING, Status.VALID}
_WORDS = {"issued": "a certificate was issued", "intent": "is being signed", "abandoned": "was given up"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, in seconds since 1970 and words."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """An order, and everything that happened to it, oldest first."""

    order: Order
    entries: tuple[Entry, ...]


def search_orders(
    context: Context, principal: Principal, *, account_id: str | None, before: str | None, limit: int
) -> list[Order]:
    """Orders, newest first, for officers.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_ORDER)
    with context.database.read() as connection:
        return orders.search_orders(
            connection,
            account_id=account_id,
            before=before,
            limit=limit,
            now=to_epoch(context.clock.now()),
        )


def read_timeline(context: Context, principal: Principal, order_id: str) -> Timeline:
    """One order with its story.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; not_found, `ACME-UNKNOWN`; unavailable.
    """
    require_permission(principal, Action.READ_ORDER)
    now = to_epoch(context.clock.now())
    with context.database.read() as connection:
        order = orders.find_order(connection, order_id, now)
        if order is None:
            raise refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", "there is no such order")
        found = authorizations.list_authorizations(connection, order.authorization_ids, now)
        attempts = validations.list_attempts(connection, order_id)
        finalizations = orders.list_finalizations(connection, order_id)
        refusal = orders.find_refusal(connection, order_id)
        account = accounts.find_account(connection, order.account_id)
    entries = [_created(order)]
    entries += [_authorized(order, each) for each in found]
    entries += [_attempted(each) for each in attempts if each.at >= order.created_at]
    entries += [_finalized(each) for each in finalizations]
    if refusal is not None:
        entries.append(Entry(refusal.at, _refused(refusal.detail, refusal.rule_ids)))
    entries.sort(key=lambda entry: entry.at)
    if account is not None and account.status is not Status.VALID:
        return Timeline(order, (*entries, Entry(now, f"cancelled: the account is {account.status}")))
    return Timeline(order, (*entries, _outlook(order, found, now)))


def _created(order: Order) -> Entry:
    names = ", ".join(each.identifier.value for each in order.names)
    return Entry(order.created_at, f"ordered {names} with the profile {order.profile}")


def _authorized(order: Order, authorization: NameAuthorization) -> Entry:
    name = _name(authorization)
    if authorization.created_at < order.created_at:
        until = to_text(from_epoch(authorization.expires_at))
        return Entry(order.created_at, f"{name}: an earlier authorization counts, until {until}")
    ways = ", ".join(each.type for each in authorization.challenges)
    return Entry(order.created_at, f"{name}: to be proven by {ways}")


def _attempted(attempt: StoredAttempt) -> Entry:
    said = f"{attempt.identifier.partition(':')[2]}: {attempt.type} "
    if attempt.error is None:
        said += "proved it"
    else:
        again = "; tried again" if attempt.outcome == "retry" else "; that was the last attempt"
        said += f"failed ({attempt.error.type}): {attempt.error.detail}{again}"
    steps = attempt.evidence.get("notes", [])
    return Entry(attempt.at, "\n".join([said, *(f"    {_step(each)}" for each in steps)]))


def _step(step: dict[str, Any]) -> str:
    """One thing that was looked at: `dns question=TXT a.example.com answer=[]`."""
    rest = [f"{key}={json.dumps(value)}" for key, value in step.items() if key != "step"]
    return " ".join([str(step.get("step", "")), *rest]).strip()


def _finalized(finalization: Finalization) -> Entry:
    if finalization.status == "refused":
        text = _refused(finalization.detail, finalization.rule_ids)
    else:
        text = f"finalized: request {finalization.request_id} {_WORDS[finalization.status]}"
    return Entry(finalization.created_at, text)


def _refused(detail: str, rule_ids: tuple[str, ...]) -> str:
    return f"finalize was refused: {detail} [{', '.join(rule_ids)}]"


def _outlook(order: Order, found: list[NameAuthorization], now: int) -> Entry:
    """Where it stands now, and what it waits for."""
    if order.status is Status.VALID:
        return Entry(now, f"valid, with certificate {order.certificate_id}")
    if order.status is Status.PENDING:
        waiting = ", ".join(_name(each) for each in found if each.status is not Status.VALID)
        return Entry(now, f"pending: the client has yet to prove {waiting}")
    if order.status is Status.READY:
        return Entry(now, "ready: every name is proven; the client has yet to finalize")
    if order.status is Status.PROCESSING:
        return Entry(now, "processing: the certificate is being signed")
    if order.error is not None:
        return Entry(now, f"invalid: {order.error.detail}")
    if order.expires_at <= now:
        return Entry(now, f"invalid: it expired at {to_text(from_epoch(order.expires_at))}")
    ended = ", ".join(f"{_name(each)} is {each.status}" for each in found if each.status not in _ALIVE)
    return Entry(now, f"invalid: {ended}")


def _name(authorization: NameAuthorization) -> str:
    value = authorization.identifier.value
    if authorization.subdomains:
        return f"{value} and all below it"
    return f"*.{value}" if authorization.wildcard else value
