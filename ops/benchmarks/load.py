"""Clients that ask for certificates over kept-alive TLS connections, each as fast as it is answered."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

DISTINCT_CSRS = 500


@dataclass
class Result:
    """What one run of clients saw."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Certificates issued a second."""
        return self.statuses[201] / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share of the certificates came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


@dataclass(frozen=True)
class Target:
    """A running server and a token that may ask it for certificates."""

    url: str
    roots: Path
    token: str
    profile: str = "tls-server"


def make_csrs(count: int = DISTINCT_CSRS) -> list[str]:
    """P-256 requests for distinct names, in PEM."""
    csrs = []
    for number in range(count):
        name = x509.SubjectAlternativeName([x509.DNSName(f"host-{number}.bench.example.test")])
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(name, critical=True)
            .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        )
        csrs.append(csr.public_bytes(Encoding.PEM).decode())
    return csrs


def run_clients(target: Target, csrs: list[str], *, clients: int, seconds: float, limit: int = 0) -> Result:
    """Ask with `clients` connections at once, for a time or until `limit` certificates."""
    result = Result()
    lock = threading.Lock()
    started = time.perf_counter()
    deadline = started + seconds

    def work(client: int) -> None:
        connection = _Connection(target)
        statuses: Counter[int] = Counter()
        latencies = []
        number = 0
        while time.perf_counter() < deadline and (not limit or number < limit // clients):
            body = json.dumps({"profile": target.profile, "csr": csrs[(client * 31 + number) % len(csrs)]})
            before = time.perf_counter()
            status = connection.post(body.encode(), key=f"{started}-{client}-{number}")
            statuses[status] += 1
            if status == 201:
                latencies.append(time.perf_counter() - before)
            number += 1
        with lock:
            result.statuses.update(statuses)
            result.latencies.extend(latencies)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - started
    return result


class _Connection:
    """One kept-alive connection; opened again when the server closes it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._context = ssl.create_default_context(cafile=str(target.roots))
        self._socket: ssl.SSLSocket | None = None

    def post(self, body: bytes, *, key: str) -> int:
        """Send one request and read the whole answer; returns the status."""
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        request = (
            f"POST /api/v1/certificate-requests HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self._target.token}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {digest}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        for _ in range(3):
            try:
                self._open().sendall(request)
                return self._read()
            except (OSError, ValueError):
                self._socket = None
        return 0

    def _open(self) -> ssl.SSLSocket:
        if self._socket is None:
            parts = urlsplit(self._target.url)
            plain = socket.create_connection((parts.hostname, parts.port), timeout=60)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname=parts.hostname)
        return self._socket

    def _read(self) -> int:
        assert self._socket is not None
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        headers = head.lower().split(b"\r\n")
        length = next(int(each.split(b":")[1]) for each in headers if each.startswith(b"content-length:"))
        while len(body) < length:
            body += self._receive()
        if b"connection: close" in headers:
            self._socket.close()
            self._socket = None
        return int(head.split(b" ", 2)[1])

    def _receive(self) -> bytes:
        assert self._socket is not None
        chunk = self._socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        return chunk
