"""No commit without an event: the only way to change the database (ADR 0004)."""

from __future__ import annotations

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from ca_server.core.audit.record import Event
from ca_server.core.clock import to_epoch
from ca_server.store import tables
from ca_server.store.prepared import Prepared

_INSERT_EVENT = Prepared(
    insert(tables.audit_event), ("event_id", "kind", "time", "body", "leaf_hash", "leaf_index")
)


class BrokenRule(Exception):
    """The database refused a change that breaks one of its rules (unique, foreign key, guard)."""


class UnitOfWork:
    """One write transaction. Leaving it without a commit undoes everything."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._open = True

    def commit(self, event: Event, *more: Event) -> None:
        """Store the events with the changes they tell of, all or nothing.

        Raises:
            BrokenRule: a rule of the database was broken; nothing was kept. It leaves `Database.write`.
            RuntimeError: it was committed already; there is no transaction that could keep the event.
        """
        self._require_open()
        rows = [
            {
                "event_id": each.event_id,
                "kind": each.kind,
                "time": to_epoch(each.time),
                "body": each.body,
                "leaf_hash": each.leaf_hash,
                "leaf_index": None,
            }
            for each in (event, *more)
        ]
        _INSERT_EVENT.run_many(self.connection, rows)
        self._finish()

    def commit_unaudited(self, reason: str) -> None:
        """Commit bookkeeping that says nothing of certificates: leases, tree tiles, watermarks.

        `reason` is for the reader; a change that an auditor would ask about goes through `commit`.
        """
        if not reason:
            raise ValueError("say why this change needs no event")
        self._require_open()
        self._finish()

    def _require_open(self) -> None:
        if not self._open:
            raise RuntimeError("this unit of work was committed already")

    def _finish(self) -> None:
        self._open = False
        try:
            self.connection.commit()
        except DBAPIError:
            # SQLite keeps the transaction open when a deferred rule fails at commit.
            self.connection.invalidate()
            raise
