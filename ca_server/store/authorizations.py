"""Authorizations and challenges as they are kept (RFC 8555 §7.1.4, §7.1.5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from ca_server.core.acme.resources import Challenge, ChallengeType, NameAuthorization, Problem, Status
from ca_server.core.acme.states import authorization_status
from ca_server.core.identifiers import Identifier, parse_identifier
from ca_server.store.acme_tables import (
    acme_authorization,
    acme_challenge,
)
from ca_server.store.prepared import Prepared, is_listed
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewAuthorization:
    """A pending authorization about to be stored, with its challenges."""

    id: str
    account_id: str
    identifier: Identifier
    wildcard: bool
    subdomains: bool
    created_at: int
    expires_at: int
    challenges: tuple[NewChallenge, ...]


@dataclass(frozen=True, slots=True)
class NewChallenge:
    """One pending challenge; `token` is base64url text of at least 128 random bits."""

    id: str
    type: ChallengeType
    token: str


_INSERT_AUTHORIZATION = Prepared(
    insert(acme_authorization),
    (
        *("id", "account_id", "identifier", "wildcard", "subdomains", "status", "created_at", "expires_at"),
        *("evidence_number", "caa_checked_at"),
    ),
)
_INSERT_CHALLENGE = Prepared(
    insert(acme_challenge),
    ("id", "authorization_id", "type", "token", "status", "error", "validated_at", "account_url"),
)


_LIST = Prepared(select(acme_authorization).where(is_listed(acme_authorization.c.id, "ids")))
_LIST_CHALLENGES = Prepared(
    select(acme_challenge)
    .where(is_listed(acme_challenge.c.authorization_id, "ids"))
    .order_by(acme_challenge.c.type)
)
_FIND_VALID = Prepared(
    select(acme_authorization.c.id)
    .where(
        acme_authorization.c.account_id == bindparam("account"),
        is_listed(acme_authorization.c.identifier, "names"),
        acme_authorization.c.status == bindparam("valid"),
        acme_authorization.c.expires_at > bindparam("now"),
    )
    .order_by(acme_authorization.c.expires_at.desc())
)


def insert_authorizations(unit: UnitOfWork, new: Sequence[NewAuthorization]) -> None:
    """Store pending authorizations with their challenges."""
    if not new:
        return
    _INSERT_AUTHORIZATION.run_many(
        unit.connection,
        [
            {
                "id": each.id,
                "account_id": each.account_id,
                "identifier": str(each.identifier),
                "wildcard": int(each.wildcard),
                "subdomains": int(each.subdomains),
                "status": Status.PENDING.value,
                "created_at": each.created_at,
                "expires_at": each.expires_at,
                "evidence_number": None,
                "caa_checked_at": None,
            }
            for each in new
        ],
    )
    _INSERT_CHALLENGE.run_many(
        unit.connection,
        [
            {
                "id": challenge.id,
                "authorization_id": each.id,
                "type": challenge.type.value,
                "token": challenge.token,
                "status": Status.PENDING.value,
                "error": None,
                "validated_at": None,
                "account_url": None,
            }
            for each in new
            for challenge in each.challenges
        ],
    )


def find_authorization(connection: Connection, authorization_id: str, now: int) -> NameAuthorization | None:
    """One authorization with its challenges and its status at this second."""
    found = list_authorizations(connection, [authorization_id], now)
    return found[0] if found else None


def list_authorizations(
    connection: Connection, authorization_ids: Sequence[str], now: int
) -> list[NameAuthorization]:
    """Authorizations by their ids, in that order, with their challenges and statuses at this second."""
    if not authorization_ids:
        return []
    wanted = {"ids": json.dumps(list(authorization_ids))}
    challenges: dict[str, list[Challenge]] = {}
    for row in _LIST_CHALLENGES.all(connection, wanted):
        challenges.setdefault(row[1], []).append(_challenge(row))
    found = {row[0]: _authorization(row, challenges[row[0]], now) for row in _LIST.all(connection, wanted)}
    return [found[each] for each in authorization_ids if each in found]


def find_valid(
    connection: Connection, account_id: str, identifiers: Sequence[Identifier], now: int
) -> list[NameAuthorization]:
    """The account's valid, unexpired authorizations for any of these names, the longest-lived first."""
    wanted = {
        "account": account_id,
        "names": json.dumps([str(each) for each in identifiers]),
        "valid": Status.VALID.value,
        "now": now,
    }
    return list_authorizations(connection, [row[0] for row in _FIND_VALID.all(connection, wanted)], now)


def challenge_authorization_id(connection: Connection, challenge_id: str) -> str | None:
    """Which authorization a challenge belongs to."""
    found = connection.execute(
        select(acme_challenge.c.authorization_id).where(acme_challenge.c.id == challenge_id)
    )
    return found.scalar_one_or_none()


def start_challenge(unit: UnitOfWork, challenge_id: str, account_url: str) -> bool:
    """Take a challenge from pending to processing; False where it was not pending any more."""
    started = unit.connection.execute(
        update(acme_challenge)
        .where(
            acme_challenge.c.id == challenge_id,
            acme_challenge.c.status == Status.PENDING.value,
            acme_challenge.c.authorization_id.in_(
                select(acme_authorization.c.id).where(acme_authorization.c.status == Status.PENDING.value)
            ),
        )
        .values(status=Status.PROCESSING.value, account_url=account_url)
    )
    return started.rowcount == 1


def deactivate(unit: UnitOfWork, authorization_id: str) -> bool:
    """End an authorization by its owner's wish; False where it had ended already (RFC 8555 §7.5.2)."""
    ended = unit.connection.execute(
        update(acme_authorization)
        .where(
            acme_authorization.c.id == authorization_id,
            acme_authorization.c.status.in_([Status.PENDING.value, Status.VALID.value]),
        )
        .values(status=Status.DEACTIVATED.value)
    )
    return ended.rowcount == 1


def note_caa_check(unit: UnitOfWork, authorization_ids: Sequence[str], now: int) -> None:
    """Say that CAA allowed these names at this second."""
    unit.connection.execute(
        update(acme_authorization)
        .where(acme_authorization.c.id.in_(authorization_ids))
        .values(caa_checked_at=now)
    )


def read_problem(text: str | None) -> Problem | None:
    """A problem as `problem_text` wrote it."""
    return None if text is None else Problem(**json.loads(text))


def problem_text(problem: Problem) -> str:
    """A problem as the database keeps it."""
    return json.dumps({"type": problem.type, "detail": problem.detail})


def _challenge(row: Sequence[Any]) -> Challenge:
    """A row with the columns of the table, in its order."""
    challenge_id, _, challenge_type, token, status, error, validated_at, account_url = row
    return Challenge(
        id=challenge_id,
        type=ChallengeType(challenge_type),
        token=token,
        status=Status(status),
        error=read_problem(error),
        validated_at=validated_at,
        account_url=account_url,
    )


def _authorization(row: Sequence[Any], challenges: list[Challenge], now: int) -> NameAuthorization:
    """A row with the columns of the table, in its order."""
    authorization_id, account_id, identifier, wildcard, subdomains, status, *rest = row
    created_at, expires_at, evidence_number, caa_checked_at = rest
    return NameAuthorization(
        id=authorization_id,
        account_id=account_id,
        identifier=parse_identifier(identifier),
        wildcard=bool(wildcard),
        subdomains=bool(subdomains),
        status=authorization_status(Status(status), expires_at, now),
        created_at=created_at,
        expires_at=expires_at,
        evidence_number=evidence_number,
        caa_checked_at=caa_checked_at,
        challenges=tuple(challenges),
    )
