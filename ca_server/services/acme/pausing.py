"""Clients that fail for days are paused, name by name, until an officer says that it was mended.

A pause is for one account: nobody can pause a name for others by failing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ca_server.core.acme.coverage import needed_scope
from ca_server.core.acme.resources import OrderName
from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.audit.record import Event
from ca_server.core.authorization import Principal
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.identifiers import Identifier
from ca_server.core.roles import Action
from ca_server.services.access import require_permission
from ca_server.services.acme.limits import count_failure
from ca_server.services.context import Context, actor_of, process_actor
from ca_server.store import failures
from ca_server.store.unit_of_work import UnitOfWork

# How long a run of failures that came to no pause is remembered without growing.
REMEMBERED = timedelta(days=30)
# What a paused client is told to wait: nothing changes by itself, but it should ask less often.
RETRY_AFTER = 86_400
# An event has a bounded size.
_NAMES_IN_EVENT = 40


def require_unpaused(unit: UnitOfWork, account_id: str, names: Sequence[OrderName]) -> None:
    """Pass only names of an order, in the client's order, of which none is paused for the account.

    Raises:
        CaError: rate_limited, `ACME-LIMIT-PAUSED` for each that is.
    """
    needed = [str(needed_scope(each).identifier) for each in names]
    paused = {
        each.identifier: each for each in failures.list_paused(unit.connection, account_id, set(needed))
    }
    violations = tuple(
        Violation(
            "ACME-LIMIT-PAUSED",
            f"{name} is paused for this account after {paused[name].failures} failed validations in a row; "
            f"once it is mended, an officer ends it by: sealkeeper acme account unpause {account_id} {name}",
            f"/identifiers/{number}",
        )
        for number, name in enumerate(needed)
        if name in paused
    )
    if violations:
        raise CaError(Kind.RATE_LIMITED, violations[0].detail, violations=violations, retry_after=RETRY_AFTER)


def record_outcome(
    context: Context,
    unit: UnitOfWork,
    limits: AcmeLimits,
    account_id: str,
    identifier: Identifier,
    *,
    ok: bool,
) -> tuple[Event, ...]:
    """Take note of how a validation ended for good; returns events to be committed with it.

    `identifier` is the authorization's. A name is paused by so many failures in a row as the limits say if
    they went on for so long; a success ends the run, and a pause too if one came in between.
    """
    now = to_epoch(context.clock.now())
    actor = process_actor("worker")
    name = str(identifier)
    if ok:
        if not failures.end_run(unit, account_id, name):
            return ()
        return (context.event("account.unpaused", actor, {"account": account_id, "names": [name]}),)
    count_failure(unit, limits, account_id, identifier, now)
    run = failures.note_failure(unit, account_id, name, now)
    long_enough = now - run.first_at >= limits.pause_after.total_seconds()
    if run.failures < limits.pause_after_failures or not long_enough:
        return ()
    if not failures.pause(unit, account_id, name, now):
        return ()
    data = {"account": account_id, "identifier": name, "failures": run.failures}
    return (context.event("name.paused", actor, data),)


def unpause_account(
    context: Context, principal: Principal, account_id: str, identifier: str | None
) -> list[str]:
    """End the pause of one name of an account, or of all; returns the names, which start anew.

    Raises:
        CaError: not_found, `ACME-NOT-PAUSED`; forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.UNPAUSE_ACCOUNT)
    with context.database.write() as unit:
        names = failures.unpause(unit, account_id, identifier)
        if not names:
            raise refuse(Kind.NOT_FOUND, "ACME-NOT-PAUSED", "no such name of this account is paused")
        first, *more = (
            context.event(
                "account.unpaused",
                actor_of(principal),
                {"account": account_id, "names": names[start : start + _NAMES_IN_EVENT]},
            )
            for start in range(0, len(names), _NAMES_IN_EVENT)
        )
        unit.commit(first, *more)
    return names


def forget_old_failures(context: Context) -> int:
    """Forget runs of failures that came to no pause and have not grown for long."""
    before = to_epoch(context.clock.now() - REMEMBERED)
    with context.database.write() as unit:
        forgotten = failures.delete_old(unit, before)
        unit.commit_unaudited("a run of failures that ended by itself")
    return forgotten
