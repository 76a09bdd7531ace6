"""Attempts to validate challenges: what a worker must know, and what follows from how it went.

An attempt is never changed. The one that succeeded is the evidence that a valid authorization points at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from ca_server.core.acme.resources import ChallengeType, Problem, Status
from ca_server.core.identifiers import Identifier, parse_identifier
from ca_server.store.acme_tables import (
    acme_account,
    acme_authorization,
    acme_challenge,
    acme_order_authorization,
    acme_validation,
)
from ca_server.store.authorizations import problem_text, read_problem
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class ValidationTask:
    """What a worker must know to validate one challenge; `attempts` were made before."""

    challenge_id: str
    authorization_id: str
    account_id: str
    thumbprint: str
    account_url: str
    type: ChallengeType
    token: str
    identifier: Identifier
    wildcard: bool
    subdomains: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went: `success`, `retry` (to be tried again) or `failure` (for good).

    `evidence` says what was asked of whom and what came back. `valid_until` is the end of the authorization
    where it succeeded. `event_id` names the audit event of a success or failure.
    """

    outcome: str
    at: int
    error: Problem | None
    evidence: dict[str, Any]
    event_id: str | None
    valid_until: int | None = None


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """An attempt as it was kept, for the timeline of an order."""

    challenge_id: str
    identifier: str
    type: str
    outcome: str
    at: int
    error: Problem | None
    evidence: dict[str, Any]


def read_validation_task(
    connection: Connection, challenge_id: str, now: int, *, hold: bool = False
) -> ValidationTask | None:
    """What is to be validated, or None where nothing is any more.

    Nothing is where the challenge is not being processed, its authorization is not pending, or the account
    is not valid. `hold` keeps the account and its key as they are until the caller's transaction ends.
    """
    query = (
        select(
            acme_challenge,
            acme_account.c.id.label("account_id"),
            acme_account.c.key_thumbprint,
            acme_authorization.c.identifier,
            acme_authorization.c.wildcard,
            acme_authorization.c.subdomains,
        )
        .join(acme_authorization, acme_authorization.c.id == acme_challenge.c.authorization_id)
        .join(acme_account, acme_account.c.id == acme_authorization.c.account_id)
        .where(
            acme_challenge.c.id == challenge_id,
            acme_challenge.c.status == Status.PROCESSING.value,
            acme_authorization.c.status == Status.PENDING.value,
            acme_authorization.c.expires_at > now,
            acme_account.c.status == Status.VALID.value,
        )
    )
    if hold:
        query = query.with_for_update(read=True, of=acme_account)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    made = connection.execute(
        select(func.count())
        .select_from(acme_validation)
        .where(acme_validation.c.challenge_id == challenge_id)
    )
    return ValidationTask(
        challenge_id=challenge_id,
        authorization_id=row["authorization_id"],
        account_id=row["account_id"],
        thumbprint=row["key_thumbprint"],
        account_url=row["account_url"],
        type=ChallengeType(row["type"]),
        token=row["token"],
        identifier=parse_identifier(row["identifier"]),
        wildcard=bool(row["wildcard"]),
        subdomains=bool(row["subdomains"]),
        attempts=made.scalar_one(),
    )


def record_attempt(unit: UnitOfWork, task: ValidationTask, attempt: Attempt) -> bool:
    """Keep an attempt and what follows from it for its challenge and authorization.

    False where the challenge or authorization has been settled meanwhile; the caller leaves uncommitted.
    """
    number = unit.connection.execute(
        insert(acme_validation)
        .values(
            challenge_id=task.challenge_id,
            identifier=str(task.identifier),
            type=task.type.value,
            at=attempt.at,
            outcome=attempt.outcome,
            error=_problem_text(attempt.error),
            evidence=json.dumps(attempt.evidence, separators=(",", ":")),
            event_id=attempt.event_id,
        )
        .returning(acme_validation.c.number)
    ).scalar_one()
    values: dict[str, Any] = {"error": _problem_text(attempt.error)}
    if attempt.outcome != "retry":
        values["status"] = _settled(attempt).value
        values["validated_at"] = attempt.at if attempt.outcome == "success" else None
    moved = unit.connection.execute(
        update(acme_challenge)
        .where(acme_challenge.c.id == task.challenge_id, acme_challenge.c.status == Status.PROCESSING.value)
        .values(**values)
    )
    if moved.rowcount != 1:
        return False
    return attempt.outcome == "retry" or _settle_authorization(unit, task, attempt, number)


def _settle_authorization(unit: UnitOfWork, task: ValidationTask, attempt: Attempt, number: int) -> bool:
    values: dict[str, Any] = {"status": _settled(attempt).value}
    if attempt.outcome == "success":
        values |= {
            "evidence_number": number,
            "caa_checked_at": attempt.at,
            "expires_at": attempt.valid_until,
        }
    settled = unit.connection.execute(
        update(acme_authorization)
        .where(
            acme_authorization.c.id == task.authorization_id,
            acme_authorization.c.status == Status.PENDING.value,
        )
        .values(**values)
    )
    return settled.rowcount == 1


def _settled(attempt: Attempt) -> Status:
    return Status.VALID if attempt.outcome == "success" else Status.INVALID


def list_attempts(connection: Connection, order_id: str) -> list[StoredAttempt]:
    """Every attempt at the authorizations of an order, oldest first."""
    rows = connection.execute(
        select(acme_validation)
        .join(acme_challenge, acme_challenge.c.id == acme_validation.c.challenge_id)
        .join(
            acme_order_authorization,
            acme_order_authorization.c.authorization_id == acme_challenge.c.authorization_id,
        )
        .where(acme_order_authorization.c.order_id == bindparam("order"))
        .order_by(acme_validation.c.number),
        {"order": order_id},
    ).mappings()
    return [
        StoredAttempt(
            challenge_id=row["challenge_id"],
            identifier=row["identifier"],
            type=row["type"],
            outcome=row["outcome"],
            at=row["at"],
            error=read_problem(row["error"]),
            evidence=json.loads(row["evidence"]),
        )
        for row in rows
    ]


def _problem_text(problem: Problem | None) -> str | None:
    return None if problem is None else problem_text(problem)
