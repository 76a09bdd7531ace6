"""The TLS context of the HTTPS door: our certificate, and client certificates of anybody."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from ca_server.patience import PatientTLSSocket
from ca_server.tls_native import keep_no_sessions, take_any_certificate

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Where the server's own certificate chain and key lie."""

    chain: Path
    key: Path


class TLSContext:
    """One context for all connections, made anew when the certificate on disk changes."""

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._made_of: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """The context of the files as they are now.

        A client is welcome without a certificate, and with any whose key it holds. What a certificate is
        worth is judged by `services.access`, which can answer and write it down.

        Files that do not fit each other, as between a new key and the certificate for it, change nothing:
        the last ones that did are served on.

        Raises:
            OSError: the files do not fit, and there were no better ones before.
        """
        stamp = self._stamp()
        with self._lock:
            if self._context is None:
                self._context, self._made_of = self._make(), stamp
            elif stamp != self._made_of:
                self._made_of = stamp
                try:
                    self._context = self._make()
                except OSError as error:
                    # A trace would say nothing that the reason does not.
                    log.error("tls.files_do_not_fit", reason=error.strerror or str(error))  # noqa: TRY400
            return self._context

    def _stamp(self) -> tuple[int, ...]:
        """Changes when a file does; 0 is a file that is not there."""
        files = (self._files.chain, self._files.key)
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in files)

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = PatientTLSSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._files.chain, self._files.key)
        context.options |= ssl.OP_NO_RENEGOTIATION
        take_any_certificate(context)
        keep_no_sessions(context)
        return context
