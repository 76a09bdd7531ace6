"""`sealkeeper acme`: what officers do with ACME. Its groups are imported when they are called."""

from __future__ import annotations

import click

from ca_server.cli.lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "account": ("ca_server.cli.acme.account:command", "List, show, deactivate and unpause accounts."),
    "eab": ("ca_server.cli.acme.eab:command", "Create, list and revoke external account keys."),
    "order": ("ca_server.cli.acme.order:command", "List orders, and show why one failed."),
    "renewal": ("ca_server.cli.acme.renewal:command", "Have certificates renewed now."),
}


@click.group(cls=LazyGroup, table=COMMANDS, path="sealkeeper acme")
def command() -> None:
    """Look after the accounts, keys and orders of ACME clients."""
