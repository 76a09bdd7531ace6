"""An OCSP responder over a status source that a test sets, with keys in memory and a clock that it moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_server.core.errors import CaError, Kind
from ca_server.core.ocsp import IssuerId, ResponseSigner, issuer_ids
from ca_server.core.signatures import KeyType
from ca_server.hsm.port import HsmUnavailable
from ocsp_responder.responder import AnswerSettings, Responder
from ocsp_responder.signer import Issuer
from ocsp_responder.status import CertificateStatus
from tests.fakes.clock import SetClock
from tests.fakes.paper_authority import issuer_key, make_issuer, make_key
from tests.fakes.stored import KeySigner, make_delegated

AUTHORITY = "issuing-1"
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


@dataclass
class SetStatus:
    """Keeps the contract of `ocsp_responder.status.StatusReader`; `away` makes it fail."""

    known: dict[tuple[str, str], CertificateStatus] = field(default_factory=dict)
    number: int = 0
    away: bool = False
    reads: int = 0

    def issue(self, serial_number: int, authority: str = AUTHORITY) -> None:
        self.known[authority, f"{serial_number:040x}"] = CertificateStatus(None, None)

    def revoke(self, serial_number: int, at: datetime, reason: str = "keyCompromise") -> None:
        self.known[AUTHORITY, f"{serial_number:040x}"] = CertificateStatus(at, reason)
        self.number += 1

    def watermark(self) -> int:
        self._check()
        return self.number

    def find(self, authority_id: str, serial_number: str) -> CertificateStatus | None:
        self._check()
        return self.known.get((authority_id, serial_number))

    def _check(self) -> None:
        self.reads += 1
        if self.away:
            raise CaError(Kind.UNAVAILABLE, "the status database is not available")


class CountingKey:
    """A delegated key; `away` unplugs it, `error` is raised instead of signing."""

    def __init__(self) -> None:
        self.signer = KeySigner(ec.generate_private_key(ec.SECP256R1()))
        self.signed = 0
        self.error: Exception | None = None

    def sign(self, data, algorithm):
        if self.error:
            raise self.error
        self.signed += 1
        return self.signer.sign(data, algorithm)

    def unplug(self) -> None:
        self.error = HsmUnavailable("the token is away")

    def check(self) -> None:
        if self.error:
            raise self.error


class ResponderBench:
    """One responder for one authority, and everything a test turns."""

    def __init__(self, *, lifetime: timedelta = timedelta(days=3000)) -> None:
        self.clock = SetClock()
        self.source = SetStatus()
        self.key = CountingKey()
        self.seconds = 1000.0
        self.authority = make_issuer().certificate
        issuer_signer = KeySigner(issuer_key())
        certificate = make_delegated(self.authority, issuer_signer, self.key.signer, lifetime=lifetime)
        signer = ResponseSigner(certificate, self.key.sign)
        self.issuer = Issuer(AUTHORITY, issuer_ids(self.authority), signer, self.key.check)
        self.responder = self.make_responder()

    def make_responder(self, *more: Issuer) -> Responder:
        settings = AnswerSettings(timedelta(hours=4), timedelta(seconds=10))
        return Responder((self.issuer, *more), self.source, self.clock, settings, lambda: self.seconds)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(seconds=seconds)

    def ask(self, serial_number: int, **options) -> ocsp.OCSPResponse:
        return ocsp.load_der_ocsp_response(self.responder.respond(self.request(serial_number, **options)).der)

    def status(self, serial_number: int) -> str:
        answer = self.ask(serial_number)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return answer.response_status.name
        return answer.certificate_status.name

    def issuer_id(self, algorithm: str) -> IssuerId:
        return next(each for each in self.issuer.ids if each.algorithm == algorithm)

    def request(
        self, serial_number: int, *, algorithm: str = "sha1", nonce: bytes | None = None, issuer=None
    ) -> bytes:
        named = issuer or self.issuer_id(algorithm)
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            named.name_hash, named.key_hash, serial_number, HASHES[algorithm]
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(Encoding.DER)


def another_issuer() -> Issuer:
    """An authority of another name and key, with its own responder."""
    authority = make_issuer(key_type=KeyType.EC_P384).certificate
    key = CountingKey()
    signer = KeySigner(make_key(KeyType.EC_P384))
    certificate = make_delegated(authority, signer, key.signer)
    return Issuer("issuing-2", issuer_ids(authority), ResponseSigner(certificate, key.sign), key.check)
