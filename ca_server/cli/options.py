"""Options that mean the same in every command, spelt once."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "config_file",
    envvar="SEALKEEPER_CONFIG",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The server's configuration file.",
)
