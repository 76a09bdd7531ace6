"""Runs a WSGI door under gunicorn: workers forked first, the HSM and database opened in each after that."""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker

from ca_server.core.client_certificates import MAX_CERTIFICATE_BYTES
from ca_server.patience import PatientSocket
from ca_server.tls import TLSContext, TLSFiles
from ca_server.tls_native import require_native_tls

log = structlog.get_logger(__name__)

# A client certificate as RFC 9440 writes it, with room for the name of its header.
MAX_FIELD_BYTES = MAX_CERTIFICATE_BYTES * 4 // 3 + 64
# A unix socket is for its owner and group.
SOCKET_UMASK = 0o117
# The folder of `sealkeeper worker` among those of the doors.
WORKER_METRICS = "worker"


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """How one door listens; `tls` is None for plain HTTP, `group` the one that a unix socket is for."""

    name: str
    listen: str
    workers: int
    threads: int
    tls: TLSFiles | None
    pin_workers: bool = False
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker runs, and how it is put down when the worker stops."""

    application: Callable[..., Any]
    close: Callable[[], None]


class Door(BaseApplication):
    """A gunicorn server without preload: `open_door` runs in each worker, after fork.

    Raises:
        CaError: unavailable; TLS cannot be served here as it must be.
    """

    def __init__(self, settings: DoorSettings, open_door: Callable[[], Opened]) -> None:
        self._settings = settings
        self._open_door = open_door
        self._opened: Opened | None = None
        if settings.tls:
            require_native_tls(settings.tls.chain, settings.tls.key)
        super().__init__()  # type: ignore[no-untyped-call]

    def load_config(self) -> None:
        """Give gunicorn its settings; none is read from its own files or environment."""
        settings = self._settings
        values: dict[str, Any] = {
            "bind": settings.listen,
            "workers": settings.workers,
            "worker_class": _PatientWorker,
            "threads": settings.threads,
            "worker_connections": 1000,
            "keepalive": 30,
            "timeout": 60,
            "graceful_timeout": 30,
            "preload_app": False,
            "control_socket_disable": True,
            # What a proxy says of its clients is read in `peer`; gunicorn would believe any unix socket.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "proxy_protocol": "off",
            "limit_request_line": 4094,
            "limit_request_fields": 64,
            "limit_request_field_size": MAX_FIELD_BYTES,
            "loglevel": "warning",
            "proc_name": f"sealkeeper-{settings.name}",
            "umask": SOCKET_UMASK,
            "when_ready": self._give_sockets_away,
            "worker_exit": self._worker_exit,
            **({"pre_fork": _choose_core, "post_fork": _stay_on_core} if settings.pin_workers else {}),
            "child_exit": _forget_metrics,
        }
        if settings.tls:
            context = TLSContext(settings.tls)
            values["certfile"] = str(settings.tls.chain)
            values["keyfile"] = str(settings.tls.key)
            values["ssl_context"] = lambda _config, _default: context.current()
        # Gunicorn has no setting for it: nobody needs to know what answers them.
        wsgi.SERVER = "sealkeeper"  # type: ignore[attr-defined]
        config: Any = self.cfg
        for name, value in values.items():
            config.set(name, value)

    def load(self) -> Callable[..., Any]:
        """Open the door in this worker."""
        self._opened = self._open_door()
        # What was loaded by now lives as long as the worker: collecting it again and again is for nothing.
        gc.collect()
        gc.freeze()
        return self._opened.application

    def _give_sockets_away(self, server: Any) -> None:
        """In the master, as soon as it listens: let the group connect, which is the proxy's."""
        if self._settings.group is None:
            return
        for listener in server.LISTENERS:
            try:
                os.chown(listener.getsockname(), -1, self._settings.group)
            except OSError as error:
                # The proxy may as well be in our group; where it is not, it says that it was not let in.
                log.warning("socket.not_given_away", reason=error.strerror)

    def _worker_exit(self, _server: Any, _worker: Any) -> None:
        if self._opened:
            self._opened.close()


class _PatientWorker(ThreadWorker):
    """Gunicorn's threaded worker over patient sockets."""

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread; a new one gets its patient socket here."""
        if not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket(fileno=conn.sock.detach())
            conn.sock.settimeout(0.0)
        super().enqueue_req(conn)  # type: ignore[no-untyped-call]

    def handle(self, conn: Any) -> Any:
        """Serve what a connection asks, and close it here when that was all.

        Closing waits up to two seconds for the client. The main thread, which would do it otherwise,
        accepts nobody meanwhile.
        """
        goes_on = super().handle(conn)  # type: ignore[no-untyped-call]
        if not goes_on:
            conn.close(graceful=True)
        return goes_on


def _choose_core(server: Any, worker: Any) -> None:
    """In the master, before a fork: the core on which the fewest workers run."""
    taken = Counter(getattr(each, "core", None) for each in server.WORKERS.values())
    worker.core = min(sorted(os.sched_getaffinity(0)), key=lambda core: taken[core])


def _stay_on_core(_server: Any, worker: Any) -> None:
    """A worker's threads take turns at the interpreter; on one core they find its caches warm."""
    try:
        os.sched_setaffinity(0, {worker.core})
    except OSError as error:
        # A sandbox may forbid it; a worker that roams serves as well, only slower.
        log.warning("worker.not_pinned", reason=error.strerror)


def metrics_directory(state: Path, door: str) -> Path:
    """An empty folder where the processes of one door, or `sealkeeper worker`, add up their metrics."""
    path = state / "metrics" / door
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, mode=0o700)
    return path


def _forget_metrics(_server: Any, worker: Any) -> None:
    # Imported before its folder is named, this library would keep metrics in each worker's own memory.
    from prometheus_client import multiprocess  # noqa: PLC0415

    multiprocess.mark_process_dead(worker.pid)
