"""CRLs: a number is taken with its intent, settled once, and the highest settled one is what is out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from ca_server.store.tables import authority, crl
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CrlIntent:
    """A CRL that a key is about to sign, or may have signed; times are seconds since 1970."""

    authority_id: str
    crl_number: int
    this_update: int
    next_update: int
    entries: int
    tbs_sha256: str
    intent_event_id: str


@dataclass(frozen=True, slots=True)
class CrlRecord:
    """A published CRL without its bytes."""

    authority_id: str
    crl_number: int
    this_update: int
    next_update: int
    entries: int
    sha256: str


def take_number(unit: UnitOfWork, intent: CrlIntent) -> bool:
    """Store an intent under the authority's next number; False when somebody took that number first."""
    statement = (
        update(authority)
        .where(authority.c.id == intent.authority_id, authority.c.last_crl_number == intent.crl_number - 1)
        .values(last_crl_number=intent.crl_number)
    )
    if unit.connection.execute(statement).rowcount != 1:
        return False
    unit.connection.execute(insert(crl).values(**asdict(intent), state="intent"))
    return True


def take_later_number(unit: UnitOfWork, intent: CrlIntent) -> bool:
    """Store the intent of a CRL that was numbered elsewhere; False when its number is not a later one.

    Numbers between may be missing for ever: CRLs of an offline authority that were never brought here.
    """
    statement = (
        update(authority)
        .where(authority.c.id == intent.authority_id, authority.c.last_crl_number < intent.crl_number)
        .values(last_crl_number=intent.crl_number)
    )
    if unit.connection.execute(statement).rowcount != 1:
        return False
    unit.connection.execute(insert(crl).values(**asdict(intent), state="intent"))
    return True


def settle(
    unit: UnitOfWork, authority_id: str, crl_number: int, *, sha256: str, der: bytes, event_id: str
) -> bool:
    """Publish a signed CRL; False when its number was given up meanwhile."""
    return _close(unit, authority_id, crl_number, state="done", sha256=sha256, der=der, event_id=event_id)


def abandon(unit: UnitOfWork, authority_id: str, crl_number: int, *, event_id: str) -> bool:
    """Give a number up for good; False when it is settled already."""
    return _close(unit, authority_id, crl_number, state="abandoned", event_id=event_id)


def open_intents(connection: Connection, authority_id: str) -> list[tuple[int, str]]:
    """Number and intent event of every CRL of this authority that has no outcome, lowest first."""
    query = (
        select(crl.c.crl_number, crl.c.intent_event_id)
        .where(crl.c.authority_id == authority_id, crl.c.state == "intent")
        .order_by(crl.c.crl_number)
    )
    return [(row.crl_number, row.intent_event_id) for row in connection.execute(query)]


def find_published(connection: Connection, authority_id: str) -> CrlRecord | None:
    """The CRL that is out: the published one with the highest number, never an older one."""
    row = connection.execute(_published(authority_id)).one_or_none()
    return _record(row) if row else None


def read_published(connection: Connection, authority_id: str) -> tuple[CrlRecord, bytes] | None:
    """The CRL that is out, with its DER."""
    row = connection.execute(_published(authority_id, crl.c.der)).one_or_none()
    return (_record(row), row.der) if row else None


def newest_crls(connection: Connection) -> list[CrlRecord]:
    """The CRL that is out of every authority that has one, by authority."""
    newest = (
        select(crl.c.authority_id, func.max(crl.c.crl_number).label("crl_number"))
        .where(crl.c.state == "done")
        .group_by(crl.c.authority_id)
        .subquery()
    )
    columns = [crl.c[name] for name in CrlRecord.__dataclass_fields__]
    joined = crl.join(
        newest,
        (newest.c.authority_id == crl.c.authority_id) & (newest.c.crl_number == crl.c.crl_number),
    )
    query = select(*columns).select_from(joined).order_by(crl.c.authority_id)
    return [_record(row) for row in connection.execute(query)]


def _published(authority_id: str, *more: Any) -> Any:
    number = (
        select(func.max(crl.c.crl_number))
        .where(crl.c.authority_id == authority_id, crl.c.state == "done")
        .scalar_subquery()
    )
    columns = [crl.c[name] for name in CrlRecord.__dataclass_fields__]
    return select(*columns, *more).where(crl.c.authority_id == authority_id, crl.c.crl_number == number)


def _record(row: Row[Any]) -> CrlRecord:
    return CrlRecord(*row[: len(CrlRecord.__dataclass_fields__)])


def _close(unit: UnitOfWork, authority_id: str, crl_number: int, **values: Any) -> bool:
    statement = (
        update(crl)
        .where(crl.c.authority_id == authority_id, crl.c.crl_number == crl_number, crl.c.state == "intent")
        .values(**values)
    )
    return unit.connection.execute(statement).rowcount == 1
