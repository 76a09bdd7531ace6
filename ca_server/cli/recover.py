"""`sealkeeper recover`: settle what a crash left behind, now."""

from __future__ import annotations

from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.compose import settle_left_behind
from ca_server.config import load_config
from ca_server.core.errors import CaError, Kind


@click.command()
@config_option
def command(config_file: Path) -> None:
    """Settle every intent without outcome: sign the identical bytes again, or give it up, with an event.

    A running server does this by itself; this is for looking after a server that is down.
    """
    before, left = settle_left_behind(load_config(config_file))
    click.echo(f"{before - left} settled, {left} left", err=True)
    if left:
        raise CaError(Kind.UNAVAILABLE, f"{left} intents could not be settled: see the log above")
