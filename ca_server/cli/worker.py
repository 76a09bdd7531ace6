"""`sealkeeper worker`: CRLs, the audit log's sequencer, pkilint on everything issued."""

from __future__ import annotations

from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.compose import SystemClock, open_worker
from ca_server.config import load_config
from ca_server.logs import configure_logs


@click.command()
@config_option
def command(config_file: Path) -> None:
    """Run the worker until SIGTERM or Ctrl-C. Several may run over one database."""
    configure_logs(SystemClock())
    open_worker(load_config(config_file)).run()
