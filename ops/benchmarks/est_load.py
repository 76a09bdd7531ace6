"""EST clients with a certificate each, that enrol or only shake hands, each as fast as it is answered."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from ops.benchmarks.connection import Connection


@dataclass
class Result:
    """What one run of clients saw."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """What succeeded, a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share of what succeeded was done."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


class Client:
    """A host with a key and, from the start, a certificate that was enrolled by a secret."""

    def __init__(self, url: str, roots: Path, secret: str, folder: Path) -> None:
        folder.mkdir()
        self._url, self._roots = url, roots
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.SubjectAlternativeName([x509.DNSName(f"{folder.name}.bench.example.test")])
        subject = x509.Name([])
        self._request = (
            x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(name, critical=True)
        )
        told = {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
        status, body = self._post(Connection(url, roots), told)
        if status != HTTPStatus.OK:
            raise SystemExit(f"a client could not enrol: {body!r}")
        [leaf] = load_der_pkcs7_certificates(base64.b64decode(body))
        self._pair = folder / "cert.pem", folder / "key.pem"
        self._pair[0].write_bytes(leaf.public_bytes(Encoding.PEM))
        self._pair[1].write_bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._connection = Connection(url, roots, self._pair)

    def shake_hands(self) -> int:
        """A new connection by the certificate, and nothing over it."""
        self._connection.shake_hands()
        return HTTPStatus.OK

    def enrol_anew(self) -> int:
        """The status of an enrolment over a connection of its own."""
        status = self.enrol()
        self._connection.close()
        return status

    def enrol(self) -> int:
        """The status of an enrolment over the connection that there is."""
        return self._post(self._connection, {})[0]

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _post(self, connection: Connection, headers: dict[str, str]) -> tuple[int, bytes]:
        # The key is the same and the signature is not, so that each CSR is one that was never seen.
        csr = self._request.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)
        sent = {"Content-Type": "application/pkcs10", **headers}
        status, _, body = connection.ask("POST", f"{self._url}/simpleenroll", base64.b64encode(csr), sent)
        return status, body


def run_clients(clients: list[Client], action: Callable[[Client], int], seconds: float) -> Result:
    """Have all clients do one thing again and again at once, for a time."""
    result = Result()
    lock = threading.Lock()
    started = time.perf_counter()
    deadline = started + seconds

    def work(client: Client) -> None:
        statuses: Counter[int] = Counter()
        latencies = []
        while (before := time.perf_counter()) < deadline:
            try:
                status = action(client)
            except OSError:
                status = 0
            statuses[status] += 1
            if status == HTTPStatus.OK:
                latencies.append(time.perf_counter() - before)
        client.close()
        with lock:
            result.statuses.update(statuses)
            result.latencies.extend(latencies)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - started
    return result
