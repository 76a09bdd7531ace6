"""Options that mean the same in every command, spelt once."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import click

_DURATION = re.compile(r"([1-9][0-9]{0,4})(d|h)")


def _duration(_context: click.Context, _parameter: click.Parameter, text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter("use days or hours, such as 90d or 12h")
    amount = int(match[1])
    return timedelta(days=amount) if match[2] == "d" else timedelta(hours=amount)


config_option = click.option(
    "--config",
    "config_file",
    envvar="SEALKEEPER_CONFIG",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The server's configuration file.",
)
valid_option = click.option(
    "--valid",
    default="90d",
    show_default=True,
    callback=_duration,
    help="Days or hours, such as 90d or 12h.",
)
