"""The audit log in the database: events on their way into the tree, the tree's tiles, its heads.

Events are inserted by `UnitOfWork.commit` alone. Here they get their place in the tree, once, from the one
leader, and are read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, case, cast, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca_server.core.audit.merkle import EMPTY_ROOT
from ca_server.core.audit.tiles import HEIGHT, Tile
from ca_server.core.audit.tree import Place
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.store.tables import audit_event, certificate, log_state, tree_head, tree_tile
from ca_server.store.unit_of_work import UnitOfWork

_ROW = 1
_OPENING = "log.epoch-open"


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log is sequenced, and who sequences it: `fence` grows with every new leader."""

    origin: str
    tree_size: int
    root_hash: bytes
    fence: int


@dataclass(frozen=True, slots=True)
class StoredHead:
    """A committed tree head; `note` is None until it is anchored and signed. `time` in epoch seconds."""

    tree_size: int
    root_hash: bytes
    time: int
    note: str | None


def open_log(unit: UnitOfWork, origin: str) -> bool:
    """Begin an empty log; False where one was begun already."""
    row = {
        "id": _ROW,
        "origin": origin,
        "fence": 0,
        "leader": None,
        "lease_until": 0,
        "tree_size": 0,
        "root_hash": EMPTY_ROOT,
    }
    statement = _dialect(unit.connection).insert(log_state).values(row).on_conflict_do_nothing()
    return unit.connection.execute(statement.returning(log_state.c.id)).first() is not None


def find_log(connection: Connection) -> LogState | None:
    """The log's state, or None before it was begun."""
    row = connection.execute(
        select(log_state.c.origin, log_state.c.tree_size, log_state.c.root_hash, log_state.c.fence)
    ).one_or_none()
    return LogState(*row) if row else None


def take_lease(unit: UnitOfWork, leader: str, now: int, until: int) -> LogState | None:
    """Become or stay the leader; None while somebody else's lease runs. Holds the row to the commit."""
    mine = log_state.c.leader == leader
    row = unit.connection.execute(
        update(log_state)
        .where(log_state.c.leader.is_(None) | mine | (log_state.c.lease_until <= now))
        .values(
            leader=leader,
            lease_until=until,
            fence=log_state.c.fence + case((mine, 0), else_=1),
        )
        .returning(log_state.c.origin, log_state.c.tree_size, log_state.c.root_hash, log_state.c.fence)
    ).one_or_none()
    return LogState(*row) if row else None


def is_waiting(connection: Connection) -> bool:
    """Whether any event has no place in the tree yet."""
    query = select(audit_event.c.number).where(audit_event.c.leaf_index.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def oldest_waiting_time(connection: Connection) -> int | None:
    """When the event that waits longest for its place was made, or None when none waits."""
    query = (
        select(audit_event.c.time)
        .where(audit_event.c.leaf_index.is_(None))
        .order_by(audit_event.c.number)
        .limit(1)
    )
    found: int | None = connection.execute(query).scalar()
    return found


def assign_indexes(unit: UnitOfWork, first_index: int, limit: int) -> list[bytes]:
    """Give waiting events the next places in the tree; return their leaf hashes in that order.

    All that wait are asked, never "number over the last one": a slow transaction commits late. The event
    that opens the log becomes its first leaf, whatever was stored before it.
    """
    order: list[ColumnElement[Any]] = [audit_event.c.number]
    if first_index == 0:
        order.insert(0, case((audit_event.c.kind == _OPENING, 0), else_=1))
    waiting = (
        select(audit_event.c.number, func.row_number().over(order_by=order).label("rank"))
        .where(audit_event.c.leaf_index.is_(None))
        .order_by(*order)
        .limit(limit)
        .subquery("waiting")
    )
    rows = unit.connection.execute(
        update(audit_event)
        .where(audit_event.c.number == waiting.c.number)
        .values(leaf_index=waiting.c.rank + (first_index - 1))
        .returning(audit_event.c.leaf_index, audit_event.c.leaf_hash)
    )
    return [row.leaf_hash for row in sorted(rows, key=lambda row: row.leaf_index)]


def advance(unit: UnitOfWork, old_size: int, tree_size: int, root_hash: bytes, now: int) -> StoredHead:
    """Move the log's state from one size to the next and store the head.

    Raises:
        CaError: conflict, AUDIT-FENCE; somebody else moved it since the lease was taken.
    """
    moved = unit.connection.execute(
        update(log_state)
        .where(log_state.c.tree_size == old_size)
        .values(tree_size=tree_size, root_hash=root_hash)
    )
    if moved.rowcount != 1:
        raise refuse(Kind.CONFLICT, "AUDIT-FENCE", "somebody else sequenced the log in the meantime")
    head = {"tree_size": tree_size, "root_hash": root_hash, "time": now, "note": None}
    unit.connection.execute(insert(tree_head), [head])
    return StoredHead(tree_size, root_hash, now, None)


def store_tiles(unit: UnitOfWork, tiles: Mapping[Place, bytes]) -> None:
    """Write the new content of tiles; each begins with what was stored before."""
    rows = [
        {"level": level, "tile_index": index, "hashes": hashes}
        for (level, index), hashes in sorted(tiles.items())
    ]
    statement = _dialect(unit.connection).insert(tree_tile)
    unit.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["level", "tile_index"], set_={"hashes": statement.excluded.hashes}
        ),
        rows,
    )


def read_tile(connection: Connection, tile: Tile) -> bytes:
    """The hashes of a tile, as wide as asked; wider content that grew since is cut.

    Raises:
        CaError: internal, AUDIT-TREE; the tree has lost a tile.
    """
    hashes = connection.execute(
        select(tree_tile.c.hashes).where(
            tree_tile.c.level == tile.level, tree_tile.c.tile_index == tile.index
        )
    ).scalar_one_or_none()
    length = tile.width * 32
    if hashes is None or len(hashes) < length:
        raise _damaged(f"the database has lost {tile.path}")
    return bytes(hashes[:length])


def read_entries(connection: Connection, tile: Tile) -> list[bytes]:
    """The events of a bundle, in order.

    Raises:
        CaError: internal, AUDIT-TREE; the log has lost an event.
    """
    first = tile.index << HEIGHT
    rows = connection.execute(
        select(audit_event.c.body)
        .where(audit_event.c.leaf_index >= first, audit_event.c.leaf_index < first + tile.width)
        .order_by(audit_event.c.leaf_index)
    )
    entries = [bytes(body) for body in rows.scalars()]
    if len(entries) != tile.width:
        raise _damaged(f"the database has lost an event of {tile.path}")
    return entries


def newest_head(connection: Connection, *, signed: bool) -> StoredHead | None:
    """The largest head, or the largest that is signed."""
    query = select(tree_head.c.tree_size, tree_head.c.root_hash, tree_head.c.time, tree_head.c.note)
    if signed:
        query = query.where(tree_head.c.note.is_not(None))
    row = connection.execute(query.order_by(tree_head.c.tree_size.desc()).limit(1)).one_or_none()
    return StoredHead(*row) if row else None


def newest_event_time(connection: Connection) -> int | None:
    """The latest time, in epoch seconds, of the newest events; they are stored nearly in order of time."""
    newest = select(audit_event.c.time).order_by(audit_event.c.number.desc()).limit(1000).subquery()
    latest: int | None = connection.execute(select(func.max(newest.c.time))).scalar_one()
    return latest


def store_note(unit: UnitOfWork, tree_size: int, note: str) -> bool:
    """Keep a head's signed note; False where it had one already."""
    stored = unit.connection.execute(
        update(tree_head)
        .where(tree_head.c.tree_size == tree_size, tree_head.c.note.is_(None))
        .values(note=note)
    )
    return stored.rowcount == 1


def find_issuance(connection: Connection, certificate_id: str) -> tuple[int | None, bytes] | None:
    """The `issue.done` event of a certificate: its place in the tree, if it has one yet, and its leaf."""
    row = connection.execute(
        select(audit_event.c.leaf_index, audit_event.c.body)
        .join(certificate, certificate.c.issued_event_id == audit_event.c.event_id)
        .where(certificate.c.id == certificate_id)
    ).one_or_none()
    return (row.leaf_index, bytes(row.body)) if row else None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is listed; `number` is the cursor, `leaf_index` None until it is sequenced."""

    number: int
    event_id: str
    leaf_index: int | None
    leaf_hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; times are epoch seconds, `since` included and `until` not."""

    kind: str | None = None
    actor: str | None = None
    since: int | None = None
    until: int | None = None


def find_event(connection: Connection, event_id: str) -> StoredEvent | None:
    """One event by its id."""
    row = connection.execute(_select_event().where(audit_event.c.event_id == event_id)).one_or_none()
    return _event(row) if row else None


def list_events(
    connection: Connection, wanted: EventFilter, *, before: int | None, limit: int
) -> list[StoredEvent]:
    """Events, newest first, whose number is below the cursor `before`."""
    query = _select_event().where(*_conditions(connection, wanted))
    if before is not None:
        query = query.where(audit_event.c.number < before)
    rows = connection.execute(query.order_by(audit_event.c.number.desc()).limit(limit))
    return [_event(row) for row in rows]


def _conditions(connection: Connection, wanted: EventFilter) -> Iterable[ColumnElement[bool]]:
    if wanted.kind is not None:
        yield audit_event.c.kind == wanted.kind
    if wanted.since is not None:
        yield audit_event.c.time >= wanted.since
    if wanted.until is not None:
        yield audit_event.c.time < wanted.until
    if wanted.actor is not None:
        yield _actor_id(connection) == wanted.actor


def _actor_id(connection: Connection) -> ColumnElement[Any]:
    """The actor, read out of the leaf: the one place where it stands."""
    if connection.dialect.name == "sqlite":
        return func.json_extract(cast(audit_event.c.body, Text), "$.actor.id")
    text = func.convert_from(audit_event.c.body, "UTF8")
    return func.jsonb_extract_path_text(cast(text, postgresql.JSONB), "actor", "id")


def _select_event() -> Any:
    return select(*(audit_event.c[name] for name in StoredEvent.__dataclass_fields__))


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(**row._mapping)  # noqa: SLF001 - this is SQLAlchemy's documented name


def _dialect(connection: Connection) -> Any:
    """The engine's own INSERT, which knows ON CONFLICT."""
    return sqlite if connection.dialect.name == "sqlite" else postgresql


def _damaged(detail: str) -> CaError:
    return refuse(Kind.INTERNAL, "AUDIT-TREE", detail)
