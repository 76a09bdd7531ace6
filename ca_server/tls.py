"""The TLS context of the HTTPS door: our certificate, and client certificates of our own authorities."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Where the server's own certificate chain and key lie, and the authorities of clients."""

    chain: Path
    key: Path
    client_authorities: Path


class TLSContext:
    """One context for all connections, made anew when the certificate on disk changes."""

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._made_of: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """The context of the files as they are now.

        A client without a certificate is welcome; one with a certificate of strangers is not. What a
        certificate allows is judged by `services.access`, with revocation.
        """
        files = (self._files.chain, self._files.key, self._files.client_authorities)
        stamp = tuple(path.stat().st_mtime_ns for path in files)
        with self._lock:
            if self._context is None or stamp != self._made_of:
                self._context = self._make()
                self._made_of = stamp
            return self._context

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._files.chain, self._files.key)
        context.load_verify_locations(self._files.client_authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context
