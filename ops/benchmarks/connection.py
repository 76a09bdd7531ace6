"""One kept-alive HTTP/1.1 connection over TLS that costs the client little time a request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

CHUNK = 65_536


class Connection:
    """Speaks to one server; opened again when the server closes it."""

    def __init__(self, url: str, roots: Path, certificate: tuple[Path, Path] | None = None) -> None:
        """Of any URL of the server, perhaps with a client certificate and its key; nothing is opened yet."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 443)
        self._host = parts.netloc
        self._context = ssl.create_default_context(cafile=str(roots))
        if certificate is not None:
            self._context.load_cert_chain(*certificate)
        self._socket: ssl.SSLSocket | None = None

    def ask(
        self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body of one answer.

        Raises:
            OSError: the connection broke; a request that may have been heard is not sent again.
        """
        lines = [f"{method} {urlsplit(url).path} HTTP/1.1", f"Host: {self._host}", "User-Agent: bench"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        try:
            self._open().sendall("\r\n".join(lines).encode() + body)
            return self._read(has_body=method != "HEAD")
        except OSError:
            self._socket = None
            raise

    def shake_hands(self) -> None:
        """Open it, and hang up once the server has done its part too.

        Raises:
            OSError: the server refused.
        """
        opened = self._open()
        socket.socket.shutdown(opened, socket.SHUT_WR)
        while opened.recv(CHUNK):
            pass
        self.close()

    def close(self) -> None:
        """Hang up; the next request opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> ssl.SSLSocket:
        if self._socket is None:
            plain = socket.create_connection(self._address, timeout=60)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname=self._address[0])
        return self._socket

    def _read(self, *, has_body: bool) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not has_body:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks(rest)
        else:
            length = int(headers.get("content-length", 0))
            while len(rest) < length:
                rest += self._receive()
            body = rest[:length]
        if headers.get("connection") == "close":
            self.close()
        return int(status_line.split(" ", 2)[1]), headers, body

    def _chunks(self, data: bytes) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in data:
                data += self._receive()
            size_line, _, data = data.partition(b"\r\n")
            size = int(size_line, 16)
            while len(data) < size + 2:
                data += self._receive()
            if size == 0:
                return body
            body, data = body + data[:size], data[size + 2 :]

    def _receive(self) -> bytes:
        assert self._socket is not None
        chunk = self._socket.recv(CHUNK)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        return chunk
