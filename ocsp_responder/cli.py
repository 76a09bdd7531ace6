"""`sealkeeper ocsp`: the responder as a process of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from ocsp_responder.config import ResponderConfig, load_config


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
    _Server(config).run()  # type: ignore[no-untyped-call] # gunicorn has few types


class _Server(BaseApplication):
    """Synchronous workers, one thread each: python-pkcs11 is not thread-safe, and no token crosses a fork."""

    def __init__(self, config: ResponderConfig) -> None:
        self._config = config
        self._opened: Any = None
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Give gunicorn its settings; none is read from its own files or environment."""
        values: dict[str, Any] = {
            "bind": self._config.listen,
            "workers": self._config.workers,
            "worker_class": "sync",
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
