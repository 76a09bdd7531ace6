"""Brings a database to the newest schema, and says whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ca_server.core.errors import CaError, Kind
from ca_server.store.engine import Database

MIGRATIONS = Path(__file__).parent / "migrations"

# Any number, as long as it is always the same and nobody else's: "SEAL" in ASCII.
_ADVISORY_LOCK = 0x5345414C


def upgrade(database: Database) -> None:
    """Run every migration that the database lacks, all in one transaction: all of them or none.

    Several at once wait for each other, and all but the first find nothing to do.

    Raises:
        CaError: unavailable, the database cannot be reached or written.
    """
    with database.write() as unit:
        if not database.is_sqlite:
            # SQLite has one writer at a time as it is.
            unit.connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
        config = _config()
        config.attributes["connection"] = unit.connection
        command.upgrade(config, "head")
        unit.commit_unaudited("the schema; there may be no table for events yet")


def require_current(database: Database) -> None:
    """Refuse to work on a database of another schema.

    Raises:
        CaError: unavailable; `sealkeeper db upgrade` has not been run, or the software is the older one.
    """
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    with database.read() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    if present != newest:
        raise CaError(
            Kind.UNAVAILABLE,
            f"the database has schema {present or 'none'}, this software needs {newest}: "
            "run 'sealkeeper db upgrade'",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
