"""Opens the database that a configuration names, for commands that need no running server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ca_server.services.context import Context


def open_database(config_file: Path) -> Context:
    """The configured server's database.

    Raises:
        CaError: the configuration is not right, or the database is away or has another schema.
    """
    from ca_server.compose import open_context  # noqa: PLC0415 - start quickly
    from ca_server.config import load_config  # noqa: PLC0415 - start quickly

    return open_context(load_config(config_file))
