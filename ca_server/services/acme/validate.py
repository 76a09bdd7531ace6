"""Validates challenges that are due, one at a time, from any number of workers (RFC 8555 §7.5.1, §8.2).

A worker leases a challenge, looks at the network with no transaction open, and stores the attempt with all
that follows from it in one transaction, if the challenge is still to be validated and still the worker's.
A worker that dies loses its lease, and another begins anew. No account keeps the others waiting: who has half
of the threads gets more of them only while nobody else waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.evidence import Evidence
from ca_server.core.acme.resources import Problem
from ca_server.core.acme.settings import AcmeConfig
from ca_server.core.audit.record import Event
from ca_server.core.clock import to_epoch
from ca_server.services.acme.authorizations import VALIDATE
from ca_server.services.acme.pausing import record_outcome
from ca_server.services.context import Context, new_id, process_actor
from ca_server.services.metrics import ACME_VALIDATIONS
from ca_server.store import due_work, validations
from ca_server.store.due_work import Lease
from ca_server.store.unit_of_work import UnitOfWork
from ca_server.store.validations import Attempt, ValidationTask

log = structlog.get_logger(__name__)

# Longer than any check takes, each of its parts having a time limit of its own.
LEASE_SECONDS = 30
# A challenge at which workers died so often is given up: what the host sends may be what kills them.
MAX_DEATHS = 5

_ACTOR = process_actor("worker")

# Looks at the network; see `challenge_checks.Prober.check`.
Check = Callable[[ValidationTask, Evidence, int], int | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one attempt found: a problem, or None and perhaps when what was shown ends by its own words."""

    problem: Problem | None
    evidence: Evidence
    until: int | None = None
    hopeless: bool = False


def validate_once(context: Context, check: Check, settings: AcmeConfig) -> bool:
    """Take the challenge whose turn it is and make one attempt; False where none waits.

    Raises:
        CaError: unavailable, the database is away; the lease runs out and another attempt is made.
    """
    lease = _take(context, max(1, settings.validation.threads // 2))
    if lease is None:
        return False
    with context.database.read() as connection:
        _, _, challenge_id = lease.subject.partition("/")
        task = validations.read_validation_task(connection, challenge_id, _now(context))
    if task is None:
        _drop(context, lease)
    else:
        _store(context, settings, lease, task, _attempt(context, check, lease, task))
    return True


def _take(context: Context, share: int) -> Lease | None:
    now = _now(context)
    with context.database.read() as connection:
        if not due_work.is_any_due(connection, VALIDATE, now):
            return None
    with context.database.write() as unit:
        owner = f"{context.node}/{new_id(context.clock.now())}"
        lease = due_work.take_next(unit, VALIDATE, owner=owner, now=now, seconds=LEASE_SECONDS, share=share)
        unit.commit_unaudited("a lease; what is done under it has its events")
    return lease


def _drop(context: Context, lease: Lease) -> None:
    """Nobody wants this validated any more: its authorization or account ended. Or the lease is lost."""
    with context.database.write() as unit:
        due_work.complete(unit, lease)
        unit.commit_unaudited("nothing is left to do")


def _attempt(context: Context, check: Check, lease: Lease, task: ValidationTask) -> _Seen:
    """Look at the network. A fault of ours counts as a failed attempt, lest the order wait for ever."""
    evidence = Evidence()
    if lease.attempts - task.attempts >= MAX_DEATHS:
        log.error("validation.given_up", challenge=task.challenge_id)
        return _Seen(
            Problem("serverInternal", "workers ended while they validated it"), evidence, hopeless=True
        )
    try:
        return _Seen(None, evidence, check(task, evidence, _now(context)))
    except ValidationFailed as error:
        return _Seen(error.problem, evidence)
    except Exception:
        log.exception("validation.bug", challenge=task.challenge_id)
        return _Seen(
            Problem("serverInternal", "it could not be validated: an error of this server"), evidence
        )


def _store(context: Context, settings: AcmeConfig, lease: Lease, task: ValidationTask, seen: _Seen) -> None:
    """Store the attempt with all that follows, if it is still wanted and the lease is still ours.

    What was attempted with a key that is not the account's any more says nothing: it is attempted anew.
    """
    now = _now(context)
    attempt, event = _judge(context, settings, task, seen, now)
    with context.database.write() as unit:
        wanted = validations.read_validation_task(unit.connection, task.challenge_id, now, hold=True)
        if wanted is not None and wanted.thumbprint != task.thumbprint:
            due_work.put_back(unit, lease, now=now)
            unit.commit_unaudited("an attempt that proves nothing for the new key, and is made again")
            return
        if (
            wanted is not None
            and _give_back(unit, lease, attempt, now)
            and validations.record_attempt(unit, task, attempt)
        ):
            if event is None:
                unit.commit_unaudited("an attempt that is made again; the last one has an event")
            else:
                unit.commit(event, *_record_outcome(context, unit, settings, task, attempt))
            ACME_VALIDATIONS.labels(task.type.value, attempt.outcome).inc()
            return
    _drop(context, lease)


def _record_outcome(
    context: Context, unit: UnitOfWork, settings: AcmeConfig, task: ValidationTask, attempt: Attempt
) -> tuple[Event, ...]:
    succeeded = attempt.outcome == "success"
    return record_outcome(context, unit, settings.limits, task.account_id, task.identifier, ok=succeeded)


def _judge(
    context: Context, settings: AcmeConfig, task: ValidationTask, seen: _Seen, now: int
) -> tuple[Attempt, Event | None]:
    """What this attempt means, and the event that tells of it if it is the last."""
    data = {
        "account": task.account_id,
        "authorization": task.authorization_id,
        "challenge": task.challenge_id,
        "identifier": str(task.identifier),
        "type": task.type.value,
    }
    evidence = seen.evidence.as_data()
    if seen.problem is None:
        end = now + int(settings.authorization_reuse.total_seconds())
        valid_until = end if seen.until is None else min(end, seen.until)
        event = context.event("validation.done", _ACTOR, data)
        return Attempt("success", now, None, evidence, event.event_id, valid_until), event
    if task.attempts + 1 < settings.validation.attempts and not seen.hopeless:
        return Attempt("retry", now, seen.problem, evidence, None), None
    data["error"] = seen.problem.type
    event = context.event("validation.failed", _ACTOR, data, outcome="failure")
    return Attempt("failure", now, seen.problem, evidence, event.event_id), event


def _give_back(unit: UnitOfWork, lease: Lease, attempt: Attempt, now: int) -> bool:
    """False where the lease was lost."""
    if attempt.outcome == "retry" and attempt.error is not None:
        return due_work.retry(unit, lease, now=now, error=attempt.error.detail)
    return due_work.complete(unit, lease)


def _now(context: Context) -> int:
    return to_epoch(context.clock.now())
