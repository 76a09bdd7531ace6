"""`sealkeeper db`: the schema of the database."""

from __future__ import annotations

from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.config import load_config
from ca_server.store.engine import Database
from ca_server.store.migrate import upgrade as migrate


@click.group()
def command() -> None:
    """Bring the database to the newest schema."""


@command.command()
@config_option
def upgrade(config_file: Path) -> None:
    """Run the migrations that the database lacks; running it again changes nothing."""
    config = load_config(config_file)
    database = Database(config.database.url)
    migrate(database)
    database.close()
    click.echo("the database has the newest schema", err=True)
