"""How one process serves many clients at once: threads for reading and writing, and nobody waited for long.

gunicorn's own worker waits without end for a request that was begun, so a few slow clients would hold it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

THREADS = 32
# A request is one or two packets.
READ_SECONDS = 5.0


class ResponderWorker(ThreadWorker):
    """Stops reading from a connection that did not bring its request in time; answers still go out."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call] # gunicorn has few types
        self._lock = threading.Lock()
        self._deadlines: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """Serve one request; called by a thread of the pool."""
        with self._lock:
            self._deadlines[conn] = time.monotonic() + READ_SECONDS
        try:
            return super().handle(conn)  # type: ignore[no-untyped-call]
        finally:
            with self._lock:
                del self._deadlines[conn]

    def murder_pending(self) -> None:
        """Called by the main thread, about once a second and at each event."""
        super().murder_pending()  # type: ignore[no-untyped-call]
        now = time.monotonic()
        with self._lock:
            for conn, deadline in self._deadlines.items():
                if now > deadline:
                    # A reading thread sees the end of the stream. The client may have gone by itself.
                    with contextlib.suppress(OSError):
                        conn.sock.shutdown(socket.SHUT_RD)
