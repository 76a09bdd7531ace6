"""ACME clients over kept-alive TLS connections, each with its own account, each as fast as it is answered.

The same code drives every server. It polls on its own clock, so that no server is helped or hurt by the
`Retry-After` that it sends.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.base64url import encode_base64url
from ops.benchmarks.connection import Connection

# Pauses between looks at what is being worked at: the first, and twice as long each time up to the last.
FIRST_POLL, LAST_POLL = 0.05, 0.8
PATIENCE_SECONDS = 60
JOSE = {"Content-Type": "application/jose+json"}
_CURVE_BYTES = 32


class Refused(Exception):
    """An answer that is no success; its text is for the report."""


@dataclass(frozen=True)
class Target:
    """A server's directory, the root that its TLS is trusted by, and the answers to its challenges."""

    directory: str
    roots: Path
    answers: dict[str, bytes]


@dataclass
class Result:
    """What one run of clients saw; `ended` are seconds from the start, in order, one an order."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Complete orders a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share of the orders was complete."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


class AcmeClient:
    """One account with a P-256 key, one connection, ES256."""

    def __init__(self, target: Target) -> None:
        """Read the directory and make the account."""
        self._answers = target.answers
        self._connection = Connection(target.directory, target.roots)
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        x, y = (encode_base64url(each.to_bytes(_CURVE_BYTES)) for each in (numbers.x, numbers.y))
        self._jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        canonical = json.dumps(self._jwk, separators=(",", ":")).encode()
        self._thumbprint = encode_base64url(hashlib.sha256(canonical).digest())
        self._nonce = ""
        self._kid: str | None = None
        self._urls = json.loads(self._connection.ask("GET", target.directory)[2])
        account = {"termsOfServiceAgreed": True, "contact": ["mailto:bench@example.com"]}
        self._kid = self._post(self._urls["newAccount"], account)[0]["location"]
        # Clients that connect one after another all get the same process of a server that has several.
        self._connection.close()

    def order(self, name: str) -> None:
        """A whole order for one DNS name, from newOrder to the chain in hand; proves the name if it must.

        Raises:
            Refused: the server did not give a certificate.
        """
        identifier = {"type": "dns", "value": name}
        headers, body = self._post(self._urls["newOrder"], {"identifiers": [identifier]})
        url, order = headers["location"], json.loads(body)
        if order["status"] == "pending":
            self._prove(order["authorizations"][0])
            order = self._wait(url, "ready")
        done = json.loads(self._post(order["finalize"], {"csr": encode_base64url(_csr(name))})[1])
        if done["status"] != "valid":
            done = self._wait(url, "valid")
        chain = self._post(done["certificate"], None)[1]
        if chain.count(b"BEGIN CERTIFICATE") < 2:
            raise Refused("a chain without its issuer")

    def _prove(self, url: str) -> None:
        authorization = json.loads(self._post(url, None)[1])
        challenge = next(each for each in authorization["challenges"] if each["type"] == "http-01")
        token = challenge["token"]
        self._answers[f"/.well-known/acme-challenge/{token}"] = f"{token}.{self._thumbprint}".encode()
        self._post(challenge["url"], {})
        self._wait(url, "valid")

    def _wait(self, url: str, wanted: str) -> dict[str, Any]:
        deadline, pause = time.perf_counter() + PATIENCE_SECONDS, FIRST_POLL
        while True:
            found: dict[str, Any] = json.loads(self._post(url, None)[1])
            if found["status"] == wanted:
                return found
            if found["status"] == "invalid" or time.perf_counter() > deadline:
                raise Refused(f"{found['status']} and not {wanted}")
            time.sleep(pause)
            pause = min(2 * pause, LAST_POLL)

    def _post(self, url: str, payload: Mapping[str, Any] | None) -> tuple[dict[str, str], bytes]:
        if not self._nonce:
            self._nonce = self._connection.ask("HEAD", self._urls["newNonce"])[1]["replay-nonce"]
        who = {"kid": self._kid} if self._kid else {"jwk": self._jwk}
        protected = {"alg": "ES256", "nonce": self._nonce, "url": url, **who}
        head = encode_base64url(json.dumps(protected).encode())
        content = "" if payload is None else encode_base64url(json.dumps(payload).encode())
        r, s = decode_dss_signature(self._key.sign(f"{head}.{content}".encode(), ec.ECDSA(hashes.SHA256())))
        signature = encode_base64url(r.to_bytes(_CURVE_BYTES) + s.to_bytes(_CURVE_BYTES))
        jws = {"protected": head, "payload": content, "signature": signature}
        status, headers, body = self._connection.ask("POST", url, json.dumps(jws).encode(), JOSE)
        self._nonce = headers.get("replay-nonce", "")
        if status not in {200, 201}:
            raise Refused(f"{status} {body[:300].decode(errors='replace')}")
        return headers, body


def make_clients(target: Target, count: int) -> list[AcmeClient]:
    """Accounts are made before anything is measured, as clients that renew have theirs."""
    return [AcmeClient(target) for _ in range(count)]


def run_clients(clients: list[AcmeClient], *, seconds: float, new_names: str = "", limit: int = 0) -> Result:
    """Order with all clients at once, for a time or until `limit` orders.

    With `new_names`, which begins each name, every order has a name that its account has to prove; without,
    each client orders the one name that it has proven before.
    """
    result = Result()
    lock = threading.Lock()
    started = time.perf_counter()

    def work(index: int, client: AcmeClient) -> None:
        number = 0
        while time.perf_counter() - started < seconds and (not limit or number < limit // len(clients)):
            name = f"{new_names}-{index}-{number}" if new_names else f"client-{index}"
            before = time.perf_counter()
            try:
                client.order(f"{name}.bench.test")
            except (Refused, OSError) as error:
                with lock:
                    result.refused[str(error)] += 1
            else:
                after = time.perf_counter()
                with lock:
                    result.latencies.append(after - before)
                    result.ended.append(after - started)
            number += 1

    threads = [threading.Thread(target=work, args=each) for each in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - started
    return result


@contextmanager
def answering(port: int) -> Iterator[dict[str, bytes]]:
    """A web server that answers every http-01 challenge of the clients in this process, whatever the host."""
    answers: dict[str, bytes] = {}

    class Answers(BaseHTTPRequestHandler):
        """The least that http-01 needs (RFC 8555 §8.3)."""

        def do_GET(self) -> None:
            found = answers.get(self.path, b"")
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's signature
            """Nothing is printed while something is measured."""

    with ThreadingHTTPServer(("127.0.0.1", port), Answers) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield answers
        finally:
            server.shutdown()


def _csr(name: str) -> bytes:
    """A new key for each, as a client that renews makes one."""
    san = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.add_extension(san, critical=True).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
