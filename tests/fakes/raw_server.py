"""A TCP server on loopback whose every connection goes to a function of the test, bytes and all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """`requests` are what clients sent first; a test's function gets the connection and that."""

    host: str = "127.0.0.1"
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}"


Talk = Callable[[socket.socket, bytes], None]


def answer(body: bytes, status: str = "200 OK", *headers: str) -> Talk:
    """An ordinary HTTP response."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return lambda sock, _request: sock.sendall("\r\n".join([*head, "", ""]).encode() + body)


def redirect(location: str, status: str = "302 Found") -> Talk:
    return answer(b"", status, f"Location: {location}")


@contextlib.contextmanager
def raw_server(
    talk: Talk, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    """A running server. With `tls` the handshake is made first; without a `talk` nothing is read."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    listener.settimeout(0.05)
    server = RawServer(host, listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(5)
            if tls is not None:
                sock = tls.wrap_socket(sock, server_side=True)
            with sock:
                request = sock.recv(65_536)
                server.requests.append(request)
                talk(sock, request)

    def accept() -> None:
        while not server.stopping.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            server.connections += 1
            threads.append(threading.Thread(target=serve, args=(sock,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopping.set()
        acceptor.join()
        listener.close()
        for each in threads:
            each.join()
