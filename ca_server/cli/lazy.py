"""A group of commands that knows its sub-commands by name, and imports the one that is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """`table` is name -> (`module:attribute` of its click command, what `--help` says of it).

    `path` is the group's own full name.
    """

    def __init__(
        self, *arguments: Any, table: Mapping[str, tuple[str, str]], path: str, **keywords: Any
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._table = table
        self._path = path

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names in the table."""
        return sorted(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name, imported now."""
        if cmd_name not in self._table:
            return None
        module, attribute = self._table[cmd_name][0].split(":")
        try:
            found: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            # A ceremony machine, or a responder's, has only the libraries of its own tier.
            library = (error.name or "a library").split(".")[0]
            raise click.ClickException(
                f"'{self._path} {cmd_name}' needs {library}, which is not installed on this machine"
            ) from error
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Names and summaries, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(self._table.items())])
