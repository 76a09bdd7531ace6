"""Authorizations and challenges as their account sees and moves them (RFC 8555 §7.5)."""

from __future__ import annotations

from ca_server.core.acme.resources import Account, Challenge, NameAuthorization, Status
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.services.acme.accounts import principal_of
from ca_server.services.context import Context, actor_of
from ca_server.store import authorizations, due_work
from ca_server.store.unit_of_work import UnitOfWork

# The kind of due work that a worker takes up; its subject is `account/challenge`, the ids of both.
VALIDATE = "acme.validate"
# So many challenges of one account may wait for their validation; two orders with all their names.
MAX_WAITING = 200
RETRY_AFTER = 30


def find_authorization(context: Context, account: Account, authorization_id: str) -> NameAuthorization:
    """An authorization of this account.

    Raises:
        CaError: not_found, `ACME-UNKNOWN`, also for what is somebody else's; unavailable.
    """
    with context.database.read() as connection:
        found = authorizations.find_authorization(connection, authorization_id, to_epoch(context.clock.now()))
    if found is None or found.account_id != account.id:
        raise _unknown("authorization")
    return found


def find_challenge(
    context: Context, account: Account, challenge_id: str
) -> tuple[NameAuthorization, Challenge]:
    """A challenge of this account with the authorization that it belongs to.

    Raises:
        CaError: not_found, `ACME-UNKNOWN`, also for what is somebody else's; unavailable.
    """
    now = to_epoch(context.clock.now())
    with context.database.read() as connection:
        authorization_id = authorizations.challenge_authorization_id(connection, challenge_id)
        found = authorization_id and authorizations.find_authorization(connection, authorization_id, now)
    if not found or found.account_id != account.id:
        raise _unknown("challenge")
    return found, next(each for each in found.challenges if each.id == challenge_id)


def respond(
    context: Context, account: Account, challenge_id: str, account_url: str
) -> tuple[NameAuthorization, Challenge]:
    """Have a challenge validated; saying so twice is saying it once (RFC 8555 §7.5.1).

    `account_url` is the account's URL as this client knows it; some challenges are about it.

    Raises:
        CaError: not_found, `ACME-UNKNOWN`; malformed, `ACME-AUTHORIZATION-ENDED`; rate_limited,
            `ACME-LIMIT-VALIDATIONS`; unavailable.
    """
    authorization, challenge = find_challenge(context, account, challenge_id)
    if challenge.status is not Status.PENDING:
        return authorization, challenge
    if authorization.status is not Status.PENDING:
        raise refuse(
            Kind.MALFORMED,
            "ACME-AUTHORIZATION-ENDED",
            f"the authorization is {authorization.status}; a new order gives a new one",
        )
    now = to_epoch(context.clock.now())
    with context.database.write() as unit:
        _require_patience(unit, account)
        if authorizations.start_challenge(unit, challenge_id, account_url):
            due_work.schedule(unit, VALIDATE, f"{account.id}/{challenge_id}", now)
            unit.commit_unaudited("that a challenge waits says nothing yet; its outcome has an event")
    return find_challenge(context, account, challenge_id)


def deactivate_authorization(context: Context, account: Account, authorization_id: str) -> NameAuthorization:
    """End an authorization by its owner's wish; twice is once (RFC 8555 §7.5.2).

    Raises:
        CaError: not_found, `ACME-UNKNOWN`; malformed, `ACME-AUTHORIZATION-ENDED`; unavailable.
    """
    found = find_authorization(context, account, authorization_id)
    data = {"account": account.id, "authorization": found.id, "identifier": str(found.identifier)}
    event = context.event("authorization.deactivated", actor_of(principal_of(account)), data)
    with context.database.write() as unit:
        if authorizations.deactivate(unit, authorization_id):
            unit.commit(event)
    found = find_authorization(context, account, authorization_id)
    if found.status is not Status.DEACTIVATED:
        raise refuse(
            Kind.MALFORMED, "ACME-AUTHORIZATION-ENDED", f"the authorization is {found.status} already"
        )
    return found


def _require_patience(unit: UnitOfWork, account: Account) -> None:
    """Each challenge that is being processed has its due work, until it is settled or nobody wants it."""
    waiting = due_work.count_waiting(unit.connection, VALIDATE, account.id)
    if waiting >= MAX_WAITING:
        detail = f"{waiting} challenges of this account wait for their validation; await their outcomes"
        violations = refuse(Kind.RATE_LIMITED, "ACME-LIMIT-VALIDATIONS", detail).violations
        raise CaError(Kind.RATE_LIMITED, detail, violations=violations, retry_after=RETRY_AFTER)


def _unknown(what: str) -> CaError:
    return refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", f"this account has no such {what}")
