"""Opens the database: SQLite with durable commits and one writer at a time, or PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import QueuePool

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork

RETRY_AFTER = 5


class Database:
    """The one door to the database for one process; open it after fork.

    `durable` is for SQLite: without it a commit outlives the process and not the machine's crash.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._write_gate = _WriteGate(Path(parsed.database or "") if self.is_sqlite else None)
        self.engine = (
            _sqlite_engine(parsed, durable=durable) if self.is_sqlite else _postgresql_engine(parsed)
        )

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """A write transaction that is undone unless the caller commits it.

        Raises:
            CaError: unavailable, the database cannot be reached or written; malformed, `STORE-DATA`, a value
                is not one that it can keep.
            BrokenRule: a rule of the database forbids the change; nothing was kept.
        """
        with self._write_gate.held(), self._connection() as connection:
            self._begin(connection, writing=True)
            yield UnitOfWork(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading one consistent picture: that of the first statement.

        Raises:
            CaError: unavailable, the database cannot be reached; malformed, `STORE-DATA`.
        """
        with self._connection() as connection:
            self._begin(connection, writing=False)
            yield connection

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    def _begin(self, connection: Connection, *, writing: bool) -> None:
        """Begin by hand on SQLite, whose driver would begin nothing before a SELECT.

        PostgreSQL's driver sends the words below with its BEGIN, so that they cost no round trip.
        """
        if self.is_sqlite:
            connection.begin()
            cursor = connection.connection.cursor()
            cursor.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            cursor.close()
            return
        driver: Any = connection.connection.driver_connection
        # None and not False: a server or role that is set read-only must not be overruled.
        read_only = None if writing else True
        if driver.read_only is not read_only:
            levels = self.engine.dialect.loaded_dbapi.IsolationLevel
            driver.isolation_level = None if writing else levels.REPEATABLE_READ
            driver.read_only = read_only
        connection.begin()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection of the pool; one that failed is dropped, for the next user would fail with it."""
        with self._typed_errors(), self.engine.connect() as connection:
            try:
                yield connection
            except (exc.DBAPIError, self.engine.dialect.loaded_dbapi.Error) as error:
                if not isinstance(error, self._sound()):
                    connection.invalidate()
                raise

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        """Errors of SQLAlchemy, and of the driver where a statement was `Prepared`, as our own.

        A statement that the database does not understand is a fault of ours and stays what it is.
        """
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (exc.IntegrityError, driver.IntegrityError) as error:
            raise BrokenRule(str(getattr(error, "orig", error))) from error
        except (exc.DataError, driver.DataError) as error:
            raise refuse(
                Kind.MALFORMED, "STORE-DATA", "a value is not one that the database can keep"
            ) from error
        except (exc.DBAPIError, exc.TimeoutError, driver.Error) as error:
            if isinstance(error, self._faults()) and not getattr(error, "connection_invalidated", False):
                raise
            raise _unavailable() from error

    def _faults(self) -> tuple[type[Exception], ...]:
        driver = self.engine.dialect.loaded_dbapi
        return (
            exc.ProgrammingError,
            exc.NotSupportedError,
            driver.ProgrammingError,
            driver.NotSupportedError,
        )

    def _sound(self) -> tuple[type[Exception], ...]:
        """Errors after which the connection is as good as before."""
        driver = self.engine.dialect.loaded_dbapi
        return (
            exc.IntegrityError,
            exc.DataError,
            driver.IntegrityError,
            driver.DataError,
            *self._faults(),
        )


def _unavailable() -> CaError:
    """What is told when the database is away."""
    return CaError(Kind.UNAVAILABLE, "the database is not available", retry_after=RETRY_AFTER)


class _WriteGate:
    """One writer at a time over all processes of a host, so that SQLite's busy handler never waits.

    SQLite's own handler sleeps and polls: p99 425 ms against 10-23 ms with a lock taken first.
    """

    def __init__(self, database: Path | None) -> None:
        self._path = database.with_name(database.name + ".lock") if database and database.name else None
        self._thread_lock = threading.Lock()
        self._file: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        with self._thread_lock:
            if self._file is None:
                self._file = self._open(self._path)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    @staticmethod
    def _open(path: Path) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unavailable() from error


def _sqlite_engine(url: Any, *, durable: bool) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, pool_size=16, max_overflow=16)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # Transactions are begun by hand: the driver's own habit would begin none before a SELECT.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL" if durable else "synchronous=NORMAL",
            "foreign_keys=ON",
            "busy_timeout=10000",
            "trusted_schema=OFF",
            "cache_size=-16000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _postgresql_engine(url: Any) -> Engine:
    return create_engine(
        url,
        pool_size=16,
        max_overflow=16,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": "-c synchronous_commit=on -c timezone=UTC"},
    )
