"""`sealkeeper ocsp`: the responder as a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from ca_server.core.errors import CaError
from ca_server.hsm.port import HsmRefused
from ocsp_responder.config import ResponderConfig, load_config
from ocsp_responder.worker import THREADS, ResponderWorker

# As `sealkeeper` itself ends where a token refused: service managers must not try again.
TOKEN_REFUSED = 6
# How long a token may keep the start waiting; its workers then find out by themselves.
CHECK_SECONDS = 30


@click.group()
def command() -> None:
    """Run the OCSP responder."""


@command.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    required=True,
    help="The responder's configuration file.",
)
def serve(config_file: Path) -> None:
    """Answer OCSP requests until SIGTERM or Ctrl-C."""
    config = load_config(config_file)
    # Metrics need their folder named before they are first imported.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_directory(config.state_directory))
    _check_tokens(config)
    _Server(config).run()  # type: ignore[no-untyped-call] # gunicorn has few types


class _Server(BaseApplication):
    """Processes with many threads for clients and one for the token; no token crosses a fork."""

    def __init__(self, config: ResponderConfig) -> None:
        self._config = config
        self._opened: Any = None
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Give gunicorn its settings; none is read from its own files or environment."""
        values: dict[str, Any] = {
            "bind": self._config.listen,
            "workers": self._config.workers,
            "worker_class": ResponderWorker,
            "threads": THREADS,
            "worker_connections": 1000,
            "timeout": 30,
            "graceful_timeout": 30,
            "preload_app": False,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",
            "proxy_protocol": "off",
            "limit_request_line": 8190,
            "limit_request_fields": 64,
            "limit_request_field_size": 8190,
            "loglevel": "warning",
            "proc_name": "sealkeeper-ocsp",
            "worker_exit": self._worker_exit,
            "child_exit": _forget_metrics,
        }
        gunicorn: Any = self.cfg
        for name, value in values.items():
            gunicorn.set(name, value)

    def load(self) -> Any:
        """Open the responder in this worker."""
        from ocsp_responder.wsgi import open_application  # noqa: PLC0415 - imports metrics, after their folder

        self._opened = open_application(self._config)
        return self._opened.application

    def _worker_exit(self, _server: Any, _worker: Any) -> None:
        if self._opened is not None:
            self._opened.close()


def _check_tokens(config: ResponderConfig) -> None:
    """Try every key before there are workers, in a process of its own: no token crosses a fork."""
    child = multiprocessing.get_context("fork").Process(target=_try_tokens, args=(config,), daemon=True)
    child.start()
    child.join(CHECK_SECONDS)
    if child.exitcode is None:
        child.kill()
    elif child.exitcode:
        sys.exit(child.exitcode)


def _try_tokens(config: ResponderConfig) -> None:
    from ocsp_responder.wsgi import check_tokens  # noqa: PLC0415 - imports metrics, after their folder

    try:
        check_tokens(config)
    except CaError as error:
        click.echo(f"sealkeeper: {error.detail} {list(error.rule_ids) or ''}".rstrip(), err=True)
        sys.exit(TOKEN_REFUSED if isinstance(error, HsmRefused) else 1)


def _metrics_directory(state: Path) -> Path:
    """An empty folder where the workers add up their metrics."""
    path = state / "metrics"
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error
    return path


def _forget_metrics(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess  # noqa: PLC0415 - after its folder is named

    multiprocess.mark_process_dead(worker.pid)
