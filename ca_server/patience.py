"""How long a client may keep a thread waiting: sockets that give up.

Gunicorn's threads wait with a limit for the first byte of a connection only. Without more, as many stalled
clients as there are threads would keep everybody else out.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from typing import Any


class PatientSocket(socket.socket):
    """A socket that takes a client which is too slow for one that has gone.

    Gunicorn and the application know what to do when a connection ends: they free the thread, without
    a traceback. A request has `seconds` in all, TLS handshake, head and body together; so has each write.
    The time that the application takes in between does not count.
    """

    seconds = 15.0
    _deadline = 0.0

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the standard library's signature
        """Gunicorn says True when a thread takes the connection up: that is where a request begins."""
        if self.fileno() < 0:
            return
        self._deadline = time.monotonic() + self.seconds
        self.settimeout(self.seconds if flag else 0.0)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """What came; nothing at the end of the connection.

        Raises:
            ConnectionResetError: the request's time is over. Half a body never looks like a whole one.
        """
        left = max(self._deadline - time.monotonic(), 0.001)
        timeout = self.gettimeout()
        self.settimeout(left if timeout is None else min(timeout, left))
        try:
            return super().recv(buflen, flags)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the request takes too long") from error

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything.

        Raises:
            BrokenPipeError: the client does not read what it asked for.
        """
        self.settimeout(self.seconds)
        try:
            super().sendall(data, flags)
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, "the client does not read") from error


class PatientTLSSocket(PatientSocket, ssl.SSLSocket):
    """A connection of the HTTPS door."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        """Begin TLS.

        Raises:
            ConnectionResetError: the client did not do its part in time.
        """
        self.setblocking(True)
        try:
            super().do_handshake(block)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the handshake takes too long") from error
