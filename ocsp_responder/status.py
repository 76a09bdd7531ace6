"""Reads certificate status from two views, by a connection that can do nothing else.

The only place outside `ca_server.store` that knows SQL. SQLite files are opened read-only; on PostgreSQL
every transaction is read-only, and the role given here should be granted the two views alone.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from ca_server.core.clock import from_epoch
from ca_server.core.errors import CaError, Kind

_WATERMARK = text("SELECT value FROM status_watermark")
_STATUS = text(
    "SELECT revoked_at, reason, released_at FROM certificate_status "
    "WHERE authority_id = :authority_id AND serial_number = :serial_number"
)


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """An issued certificate; `revoked_at` and `reason` (RFC 5280's word) are None unless it is revoked."""

    revoked_at: datetime | None
    reason: str | None


class StatusReader:
    """One process's door to the views; open it after fork."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        self._engine = _sqlite(parsed.database or "") if is_sqlite else _postgresql(parsed)

    def watermark(self) -> int:
        """A number that every revocation and release raises.

        Raises:
            CaError: unavailable.
        """
        return int(self._row(_WATERMARK)[0])

    def find(self, authority_id: str, serial_number: str) -> CertificateStatus | None:
        """The status of a certificate, or None for a serial number that was never issued.

        Raises:
            CaError: unavailable.
        """
        row = self._row(_STATUS, authority_id=authority_id, serial_number=serial_number)
        if row is None:
            return None
        if row.revoked_at is None or row.released_at is not None:
            return CertificateStatus(None, None)
        return CertificateStatus(from_epoch(row.revoked_at), row.reason)

    def close(self) -> None:
        """Give back every connection."""
        self._engine.dispose()

    def _row(self, statement: Any, **parameters: str) -> Any:
        try:
            with self._engine.connect() as connection:
                return connection.execute(statement, parameters).one_or_none()
        except SQLAlchemyError as error:
            raise CaError(Kind.UNAVAILABLE, "the status database is not available", retry_after=5) from error


def _sqlite(path: str) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=2, check_same_thread=False)

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=1,
        pool_timeout=2,
        isolation_level="AUTOCOMMIT",
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")

    return engine


def _postgresql(url: Any) -> Engine:
    options = "-c default_transaction_read_only=on -c statement_timeout=2000 -c timezone=UTC"
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=2,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": 2, "options": options},
    )
