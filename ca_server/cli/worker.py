"""`sealkeeper worker`: CRLs, the audit log's sequencer, pkilint on everything issued, ACME's validations."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.config import load_config
from ca_server.logs import configure_logs
from ca_server.serving import WORKER_METRICS, metrics_directory


@click.command()
@config_option
def command(config_file: Path) -> None:
    """Run the worker until SIGTERM or Ctrl-C. Several may run over one database."""
    config = load_config(config_file)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_directory(config.state_directory, WORKER_METRICS))
    # Metrics need their folder named before they are first imported.
    from ca_server.compose import SystemClock, open_worker  # noqa: PLC0415

    configure_logs(SystemClock())
    open_worker(config).run()
