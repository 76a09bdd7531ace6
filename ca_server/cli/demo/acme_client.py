"""A small ACME client: it knows what RFC 8555 says, and nothing about this server but its directory's URL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.base64url import encode_base64url
from ca_server.core.errors import CaError, Kind

PATIENCE_SECONDS = 30
_CURVE_BYTES = 32

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class ExternalKey:
    """What an officer hands out for binding an account (RFC 8555 §7.3.4); the key in base64url."""

    kid: str
    hmac_key: str


class AcmeClient:
    """One account, with a key of its own."""

    def __init__(self, directory_url: str, roots: Path) -> None:
        """Read the directory; `roots` are trusted for TLS."""
        self._context = ssl.create_default_context(cafile=str(roots))
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._account: str | None = None
        self._nonce: str | None = None
        self._directory = json.loads(self._ask(urllib.request.Request(directory_url))[0])  # noqa: S310 - https

    def register(self, external: ExternalKey | None = None) -> None:
        """Make the account, bound to an external one where a key for that is given."""
        url = self._directory["newAccount"]
        payload: dict[str, Any] = {"termsOfServiceAgreed": True}
        if external is not None:
            protected = {"alg": "HS256", "kid": external.kid, "url": url}
            secret = base64.urlsafe_b64decode(external.hmac_key + "=" * (-len(external.hmac_key) % 4))
            payload["externalAccountBinding"] = _jws(
                protected, self._jwk(), lambda data: hmac.digest(secret, data, "sha256")
            )
        self._account = self._post(url, payload)[1]["Location"]

    def enrol(self, address: str, port: int) -> str:
        """The chain in PEM of a new certificate for an address of this machine, proven by http-01 on `port`.

        Raises:
            OSError: nobody may listen there, or somebody does already.
            CaError: the server refused, or was not done in time.
        """
        with _answering(address, port) as answers:
            identifier = {"type": "ip", "value": address}
            body, headers = self._post(self._directory["newOrder"], {"identifiers": [identifier]})
            order_url = headers["Location"]
            for url in json.loads(body)["authorizations"]:
                self._prove(url, answers)
            finalize = self._wait(order_url, "ready")["finalize"]
            self._post(finalize, {"csr": encode_base64url(_csr(address))})
            certificate = self._wait(order_url, "valid")["certificate"]
        return self._post(certificate, None)[0].decode()

    def _prove(self, url: str, answers: dict[str, str]) -> None:
        authorization = json.loads(self._post(url, None)[0])
        challenge = next(each for each in authorization["challenges"] if each["type"] == "http-01")
        canonical = json.dumps(self._jwk(), sort_keys=True, separators=(",", ":")).encode()
        thumbprint = encode_base64url(hashlib.sha256(canonical).digest())
        path = f"/.well-known/acme-challenge/{challenge['token']}"
        answers[path] = f"{challenge['token']}.{thumbprint}"
        self._post(challenge["url"], {})

    def _wait(self, url: str, wanted: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            order: dict[str, Any] = json.loads(self._post(url, None)[0])
            if order["status"] == wanted:
                return order
            if order["status"] == "invalid" or time.monotonic() > deadline:
                raise CaError(Kind.INTERNAL, f"the order did not become {wanted}: {json.dumps(order)}")
            time.sleep(0.2)

    def _jwk(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        x, y = (encode_base64url(each.to_bytes(_CURVE_BYTES)) for each in (numbers.x, numbers.y))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}

    def _post(self, url: str, payload: dict[str, Any] | None) -> tuple[bytes, dict[str, str]]:
        """Send a signed payload; None is POST-as-GET (RFC 8555 §6.3)."""
        if self._nonce is None:
            self._ask(urllib.request.Request(self._directory["newNonce"], method="HEAD"))  # noqa: S310 - https
        who = {"kid": self._account} if self._account else {"jwk": self._jwk()}
        protected = {"alg": "ES256", "nonce": self._nonce, "url": url, **who}
        self._nonce = None
        body = json.dumps(_jws(protected, payload, self._sign)).encode()
        headers = {"Content-Type": "application/jose+json"}
        return self._ask(urllib.request.Request(url, body, headers))  # noqa: S310 - https

    def _sign(self, data: bytes) -> bytes:
        """R and S side by side (RFC 7518 §3.4)."""
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_CURVE_BYTES) + s.to_bytes(_CURVE_BYTES)

    def _ask(self, request: urllib.request.Request) -> tuple[bytes, dict[str, str]]:
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:  # noqa: S310 - https
                body, headers = answer.read(), dict(answer.headers)
        except HTTPError as error:
            raise CaError(Kind.INTERNAL, f"{request.full_url} said {error.read().decode()}") from error
        self._nonce = headers.get("Replay-Nonce", self._nonce)
        return body, headers


def _jws(protected: dict[str, Any], payload: dict[str, Any] | None, sign: Sign) -> dict[str, str]:
    """The flattened JSON serialization (RFC 7515 §7.2.2)."""
    head = encode_base64url(json.dumps(protected).encode())
    body = "" if payload is None else encode_base64url(json.dumps(payload).encode())
    return {
        "protected": head,
        "payload": body,
        "signature": encode_base64url(sign(f"{head}.{body}".encode())),
    }


def _csr(address: str) -> bytes:
    name = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.add_extension(name, critical=True).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@contextmanager
def _answering(address: str, port: int) -> Iterator[dict[str, str]]:
    """A web server that answers with what stands in the dictionary under the path."""
    answers: dict[str, str] = {}

    class Answers(BaseHTTPRequestHandler):
        """The least that http-01 needs (RFC 8555 §8.3)."""

        def do_GET(self) -> None:
            found = answers.get(self.path, "").encode()
            self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's signature
            """The demo's screen is for the demo's steps."""

    with ThreadingHTTPServer((address, port), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield answers
        finally:
            server.shutdown()
