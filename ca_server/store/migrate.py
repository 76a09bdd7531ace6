"""Brings a database to the newest schema, and says whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ca_server.core.errors import CaError, Kind
from ca_server.store.engine import Database


def upgrade(database: Database) -> None:
    """Run every migration that the database lacks, each in a transaction of its own."""
    with database.engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


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
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
