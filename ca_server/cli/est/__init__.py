"""`sealkeeper est`: what officers do with EST. Its groups are imported when they are called."""

from __future__ import annotations

import click

from ca_server.cli.lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "secret": ("ca_server.cli.est.secret:command", "Create, list and revoke enrolment secrets."),
}


@click.group(cls=LazyGroup, table=COMMANDS, path="sealkeeper est")
def command() -> None:
    """Look after the secrets by which devices and hosts enrol over EST."""
