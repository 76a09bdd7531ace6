"""`sealkeeper tls`: the server's own certificate."""

from __future__ import annotations

from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.compose import SystemClock
from ca_server.config import load_config
from ca_server.logs import configure_logs
from ca_server.own_tls import renew_own_certificate


@click.group()
def command() -> None:
    """Issue or renew the server's own certificate."""


@command.command()
@config_option
@click.option("--now", is_flag=True, help="Renew even when it is not due.")
def renew(config_file: Path, *, now: bool) -> None:
    """Issue the server's certificate when it is missing or has lived two thirds of its life.

    It goes through the same gate as every certificate; running servers pick it up by themselves.
    """
    configure_logs(SystemClock())
    issued = renew_own_certificate(load_config(config_file), even_if_not_due=now)
    click.echo(f"issued {issued.certificate_id}" if issued else "not due yet", err=True)
