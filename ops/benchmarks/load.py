"""Clients that ask for certificates over kept-alive TLS connections, each as fast as it is answered."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ops.benchmarks.connection import Connection

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
        connection = Connection(target.url, target.roots)
        statuses: Counter[int] = Counter()
        latencies = []
        number = 0
        while time.perf_counter() < deadline and (not limit or number < limit // clients):
            body = json.dumps({"profile": target.profile, "csr": csrs[(client * 31 + number) % len(csrs)]})
            before = time.perf_counter()
            status = _ask(connection, target, body.encode(), key=f"{started}-{client}-{number}")
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


def _ask(connection: Connection, target: Target, body: bytes, *, key: str) -> int:
    """The status of one request; it is repeated with its key when the connection breaks, and 0 in the end."""
    headers = {
        "Authorization": f"Bearer {target.token}",
        "Content-Type": "application/json",
        "Idempotency-Key": hashlib.sha256(key.encode()).hexdigest()[:32],
    }
    for _ in range(3):
        try:
            return connection.ask("POST", f"{target.url}/api/v1/certificate-requests", body, headers)[0]
        except OSError:
            continue
    return 0
