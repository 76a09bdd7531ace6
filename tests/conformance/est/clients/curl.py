"""curl and openssl, as a device's maker would put them together in a shell script."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.conformance.est.capabilities import Capability
from tests.conformance.est.clients.client import Client, Pair, Refused, Secret, Wish
from tests.fixtures.commands import run

OK, ACCEPTED = 200, 202
PATIENCE_SECONDS = 30
MOST_HEADERS = 1024


@dataclass(frozen=True)
class Answer:
    """What the server said, with the bytes of its headers as they came."""

    status: int
    raw_headers: bytes
    body: bytes

    @property
    def headers(self) -> Message:
        _, _, lines = self.raw_headers.partition(b"\r\n")
        return BytesParser().parsebytes(lines)

    @property
    def text(self) -> str:
        return self.body.decode()

    def require(self, media_type: str) -> bytes:
        """The body of a success, whose headers are as EST's oldest clients need them.

        Raises:
            Refused: it is none.
        """
        if self.status != OK:
            assert self.headers["Content-Type"] == "text/plain; charset=utf-8", self
            raise Refused(self.status, self.text)
        assert self.headers["Content-Type"].startswith(media_type)
        assert int(self.headers["Content-Length"]) == len(self.body)
        assert self.headers["Transfer-Encoding"] is None
        assert len(self.raw_headers) <= MOST_HEADERS
        return self.body


class Curl(Client):
    """curl 7.88 with openssl 3.0: everything that a shell can say."""

    title = "curl + openssl"
    program = "curl"
    knows = frozenset(Capability)

    def authorities(self) -> set[x509.Certificate]:
        return self.certificates_in(self.ask("cacerts").require("application/pkcs7-mime"))

    def enrol(self, wish: Wish, secret: Secret) -> Pair:
        return self.enrol_by(wish, "--user", str(secret))

    def renew(self, wish: Wish, old: Pair) -> Pair:
        return self._store(wish, self.post_csr("simplereenroll", wish.csr, *certificate(old)))

    def enrol_by(self, wish: Wish, *options: str, operation: str = "simpleenroll") -> Pair:
        """Enrol with curl's options for who asks; ask again as told while it has to wait."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        answer = self.post_csr(operation, wish.csr, *options)
        while answer.status == ACCEPTED and time.monotonic() < deadline:
            time.sleep(int(answer.headers["Retry-After"]))
            answer = self.post_csr(operation, wish.csr, *options)
        return self._store(wish, answer)

    def post_csr(self, operation: str, csr: Path, *options: str) -> Answer:
        """Send a CSR as base64 in one line, by `openssl base64 -A`."""
        der, body = self.home / "request.der", self.home / "request.b64"
        run("openssl", "req", "-in", str(csr), "-outform", "DER", "-out", str(der))
        run("openssl", "base64", "-A", "-in", str(der), "-out", str(body))
        return self.post(operation, body, *options)

    def post(
        self, operation: str, body: Path, *options: str, content_type: str = "application/pkcs10"
    ) -> Answer:
        """Send a file as it is."""
        sent = ("--header", f"Content-Type: {content_type}", "--data-binary", f"@{body}")
        return self.ask(operation, *sent, *options)

    def ask(self, operation: str, *options: str) -> Answer:
        """One request; a connection that breaks fails the test."""
        headers, body = self.home / "headers", self.home / "body"
        body.unlink(missing_ok=True)
        url = f"{self.lab.url}/.well-known/est/{operation}"
        run(
            *(self.program, "--silent", "--show-error", "--max-time", "60", "--cacert", str(self.lab.roots)),
            *("--dump-header", str(headers), "--output", str(body), *options, url),
        )
        # 100 Continue has headers of its own before those of the answer.
        raw = headers.read_bytes().removesuffix(b"\r\n\r\n").rsplit(b"\r\n\r\n", 1)[-1] + b"\r\n\r\n"
        return Answer(int(raw.split(b" ", 2)[1]), raw, body.read_bytes() if body.exists() else b"")

    def connections(self, *operations: str) -> int:
        """How many connections it takes to ask these one after the other."""
        words: list[str] = []
        for each in operations:
            words += ["--output", "/dev/null", f"{self.lab.url}/.well-known/est/{each}"]
        made = run(
            *(self.program, "--silent", "--show-error", "--fail", "--cacert", str(self.lab.roots)),
            *("--write-out", "%{num_connects}\n", *words),
        )
        return sum(int(line) for line in made.stdout.split())

    def certificates_in(self, body: bytes, *, one_line: bool = True) -> set[x509.Certificate]:
        """Read certs-only PKCS#7 by openssl: `base64 -d -A` takes one line alone, `base64 -d` short ones."""
        encoded, der = self.home / "answer.b64", self.home / "answer.p7"
        encoded.write_bytes(body)
        run("openssl", "base64", "-d", *(["-A"] if one_line else []), "-in", str(encoded), "-out", str(der))
        pem = run("openssl", "pkcs7", "-inform", "DER", "-in", str(der), "-print_certs").stdout
        return set(x509.load_pem_x509_certificates(pem.encode()))

    def _store(self, wish: Wish, answer: Answer) -> Pair:
        [leaf] = self.certificates_in(answer.require("application/pkcs7-mime"))
        return store(wish, leaf)


def store(wish: Wish, leaf: x509.Certificate) -> Pair:
    """Write a certificate where the wish has its place."""
    wish.pair.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    return wish.pair


def certificate(pair: Pair) -> tuple[str, ...]:
    """curl's options for a client certificate."""
    return ("--cert", str(pair.certificate), "--key", str(pair.key))
