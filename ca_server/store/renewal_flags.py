"""Certificates that are to be renewed now although they are good: one, or all of an authority or profile.

A flag counts for what was issued before it; or whoever followed it would be told to renew for ever.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import Connection, and_, insert, or_, select, update

from ca_server.store.acme_tables import renewal_flag
from ca_server.store.tables import issuance_intent
from ca_server.store.unit_of_work import UnitOfWork


class FlagScope(StrEnum):
    """What a flag's subject names."""

    CERTIFICATE = "certificate"
    AUTHORITY = "authority"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class RenewalFlag:
    """A flag as it is kept; it holds until `ended_at`. Times are seconds since 1970."""

    id: str
    scope: str
    subject: str
    explanation_url: str | None
    created_at: int
    ended_at: int | None
    event_id: str


@dataclass(frozen=True, slots=True)
class Flaggable:
    """A certificate by everything by which it could be flagged."""

    certificate_id: str
    authority_id: str
    serial_number: str
    profile: str


def insert_flag(unit: UnitOfWork, flag: RenewalFlag) -> None:
    """Store a new flag; the caller's commit brings its event."""
    unit.connection.execute(insert(renewal_flag).values(**asdict(flag)))


def list_flags(connection: Connection, *, after: str | None, limit: int) -> list[RenewalFlag]:
    """Newest first, ended ones too; `after` is the id of the last one seen, and ids sort by time."""
    query = select(renewal_flag).order_by(renewal_flag.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(renewal_flag.c.id < after)
    return [RenewalFlag(**row) for row in connection.execute(query).mappings()]


def end_flag(unit: UnitOfWork, flag_id: str, now: int) -> bool:
    """Take a flag back; False when there is no such one or it was taken back before."""
    statement = update(renewal_flag).where(renewal_flag.c.id == flag_id, renewal_flag.c.ended_at.is_(None))
    return unit.connection.execute(statement.values(ended_at=now)).rowcount == 1


def find_flag(connection: Connection, certificate: Flaggable) -> RenewalFlag | None:
    """The newest flag that holds for a certificate."""
    issued_at = (
        select(issuance_intent.c.created_at)
        .where(
            issuance_intent.c.authority_id == certificate.authority_id,
            issuance_intent.c.serial_number == certificate.serial_number,
        )
        .scalar_subquery()
    )
    subjects = {
        FlagScope.CERTIFICATE: certificate.certificate_id,
        FlagScope.AUTHORITY: certificate.authority_id,
        FlagScope.PROFILE: certificate.profile,
    }
    query = (
        select(renewal_flag)
        .where(
            or_(
                *(
                    and_(renewal_flag.c.scope == scope.value, renewal_flag.c.subject == subject)
                    for scope, subject in subjects.items()
                )
            ),
            renewal_flag.c.ended_at.is_(None),
            renewal_flag.c.created_at >= issued_at,
        )
        .order_by(renewal_flag.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return RenewalFlag(**row) if row else None
