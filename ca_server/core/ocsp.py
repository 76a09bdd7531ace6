"""OCSP as values: a request read strictly, a response built whole (RFC 6960, RFC 9654).

Almost every request asks for one certificate; a few clients ask for several in one message, which the
builders of `cryptography` do not know, so that those are put together here from single ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import ocsp as asn1_ocsp
from asn1crypto.core import Void
from asn1crypto.x509 import Certificate as Asn1Certificate
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import SignatureAlgorithm, default_algorithm, key_type_of
from ca_server.core.signing_key import SignFunction, signing_key

MAX_REQUEST_BYTES = 8 * 1024
MAX_CERT_IDS = 16
MAX_NONCE_BYTES = 128  # RFC 9654 §2.1
MAX_SERIAL_BITS = 159  # RFC 5280 §4.1.2.2: 20 octets, positive

# SHA-1 only names an issuer here; clients still ask with it by default (RFC 5019 §2.1.1).
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
}
# A well-formed ECDSA-Sig-Value; what carries it is taken apart again at once.
_PLACEHOLDER = bytes.fromhex("3006020101020101")


@dataclass(frozen=True, slots=True)
class IssuerId:
    """An authority as a client names it: hashes of its name and of its public key, `sha1` or `sha256`."""

    algorithm: str
    name_hash: bytes
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class CertId:
    """A certificate as a client names it (RFC 6960 §4.1.1)."""

    issuer: IssuerId
    serial_number: int


@dataclass(frozen=True, slots=True)
class OcspRequest:
    """What is asked for; `nonce` makes the answer unrepeatable (RFC 9654)."""

    cert_ids: tuple[CertId, ...]
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One certificate's status; `revoked_at` and `reason` are given for a revoked one."""

    cert_id: CertId
    status: ocsp.OCSPCertStatus
    this_update: datetime
    next_update: datetime
    revoked_at: datetime | None = None
    reason: x509.ReasonFlags | None = None


@dataclass(frozen=True, slots=True)
class ResponseSigner:
    """A delegated responder's certificate, and the function that signs with its key."""

    certificate: x509.Certificate
    sign: SignFunction

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """How this key signs; never RSA-PSS, which the builder cannot do.

        Raises:
            ValueError: the key is of a type that Sealkeeper does not sign with.
        """
        key_type = key_type_of(self.certificate.public_key())
        if key_type is None:
            raise ValueError("the responder's key is of a type that cannot sign responses")
        return default_algorithm(key_type)


def issuer_ids(authority: x509.Certificate) -> tuple[IssuerId, ...]:
    """Every way in which a client may name this authority as an issuer."""
    parsed = Asn1Certificate.load(authority.public_bytes(Encoding.DER))
    name = parsed.subject.dump()
    key = bytes(parsed.public_key["public_key"])
    return tuple(
        IssuerId(algorithm, hashlib.new(algorithm, name).digest(), hashlib.new(algorithm, key).digest())
        for algorithm in _HASHES
    )


def parse_request(data: bytes) -> OcspRequest:
    """Read a request; a signature on it is neither asked for nor looked at.

    Raises:
        CaError: malformed, `OCSP-SIZE`, `OCSP-FORMAT`, `OCSP-COUNT`, `OCSP-SERIAL`, `OCSP-NONCE` or
            `OCSP-EXTENSION`; forbidden, `OCSP-HASH`: a hash by which no issuer is known here.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise refuse(Kind.MALFORMED, "OCSP-SIZE", f"an OCSP request may have {MAX_REQUEST_BYTES} bytes")
    try:
        return _parse(data)
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        raise refuse(Kind.MALFORMED, "OCSP-FORMAT", "this is not an OCSP request in DER") from error


def build_response(signer: ResponseSigner, answers: Sequence[Answer], nonce: bytes | None) -> bytes:
    """The DER of a successful response that holds all answers, signed once.

    Raises:
        HsmUnavailable, HsmRefused, SignatureUnknown: as the signer.
    """
    if len(answers) == 1:
        return _single(signer, answers[0], nonce).public_bytes(Encoding.DER)
    return _several(signer, answers, nonce)


def error_response(status: ocsp.OCSPResponseStatus) -> bytes:
    """The DER of an unsuccessful response, which nobody signs."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _parse(data: bytes) -> OcspRequest:
    try:
        single = ocsp.load_der_ocsp_request(data)
    except NotImplementedError:
        # What cryptography says to a request for other than one certificate (RFC 6960 §4.1.1 allows many).
        parts = [ocsp.load_der_ocsp_request(part) for part in _split(data)]
        return OcspRequest(tuple(_cert_id(part) for part in parts), _nonce(parts[0]))
    return OcspRequest((_cert_id(single),), _nonce(single))


def _split(data: bytes) -> list[bytes]:
    """One request for each certificate of a request for several or for none, extensions kept."""
    wanted = asn1_ocsp.OCSPRequest.load(data, strict=True)["tbs_request"]
    count = len(wanted["request_list"])
    if not 1 <= count <= MAX_CERT_IDS:
        raise refuse(Kind.MALFORMED, "OCSP-COUNT", f"ask for 1 to {MAX_CERT_IDS} certificates, not {count}")
    parts = []
    for each in wanted["request_list"]:
        part = asn1_ocsp.TBSRequest({"request_list": [each]})
        if not isinstance(wanted["request_extensions"], Void):
            part["request_extensions"] = wanted["request_extensions"]
        parts.append(asn1_ocsp.OCSPRequest({"tbs_request": part}).dump())
    return parts


def _cert_id(request: ocsp.OCSPRequest) -> CertId:
    try:
        algorithm = request.hash_algorithm.name
    except UnsupportedAlgorithm:
        algorithm = "unknown"
    if algorithm not in _HASHES:
        raise refuse(Kind.FORBIDDEN, "OCSP-HASH", "name the issuer by SHA-1 or SHA-256")
    issuer = IssuerId(algorithm, request.issuer_name_hash, request.issuer_key_hash)
    size = _HASHES[algorithm].digest_size
    if len(issuer.name_hash) != size or len(issuer.key_hash) != size:
        raise refuse(Kind.MALFORMED, "OCSP-FORMAT", "an issuer's hash is of the wrong length")
    serial_number = request.serial_number
    if serial_number < 0 or serial_number.bit_length() > MAX_SERIAL_BITS:
        raise refuse(Kind.MALFORMED, "OCSP-SERIAL", "a serial number is positive and has 20 octets at most")
    return CertId(issuer, serial_number)


def _nonce(request: ocsp.OCSPRequest) -> bytes | None:
    """The nonce; another extension is passed over, unless the client says that it must be understood."""
    nonce = None
    for extension in request.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            nonce = extension.value.nonce
        elif extension.critical:
            raise refuse(Kind.MALFORMED, "OCSP-EXTENSION", "a critical extension is not known here")
    if nonce is not None and not 1 <= len(nonce) <= MAX_NONCE_BYTES:
        raise refuse(Kind.MALFORMED, "OCSP-NONCE", f"a nonce has 1 to {MAX_NONCE_BYTES} octets")
    return nonce


def _single(signer: ResponseSigner, answer: Answer, nonce: bytes | None) -> ocsp.OCSPResponse:
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=answer.cert_id.issuer.name_hash,
        issuer_key_hash=answer.cert_id.issuer.key_hash,
        serial_number=answer.cert_id.serial_number,
        algorithm=_HASHES[answer.cert_id.issuer.algorithm],
        cert_status=answer.status,
        this_update=answer.this_update,
        next_update=answer.next_update,
        revocation_time=answer.revoked_at,
        revocation_reason=None if answer.reason is x509.ReasonFlags.unspecified else answer.reason,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
    builder = builder.certificates([signer.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    key = signing_key(signer.certificate.public_key(), signer.sign)  # type: ignore[arg-type]
    return builder.sign(key, signer.algorithm.hash)


def _several(signer: ResponseSigner, answers: Sequence[Answer], nonce: bytes | None) -> bytes:
    """One response of many: the single ones are built unsigned, and their answers gathered in the first."""
    unsigned = ResponseSigner(signer.certificate, lambda _data, _algorithm: _PLACEHOLDER)
    parts = [_basic(_single(unsigned, answer, nonce)) for answer in answers]
    first = parts[0]
    data = first["tbs_response_data"].copy()
    data["responses"] = [part["tbs_response_data"]["responses"][0] for part in parts]
    signature = signer.sign(data.dump(), signer.algorithm)
    basic = asn1_ocsp.BasicOCSPResponse(
        {
            "tbs_response_data": data,
            "signature_algorithm": first["signature_algorithm"],
            "signature": signature,
            "certs": first["certs"],
        }
    )
    body = asn1_ocsp.ResponseBytes({"response_type": "basic_ocsp_response", "response": basic})
    response = asn1_ocsp.OCSPResponse({"response_status": "successful", "response_bytes": body})
    der: bytes = response.dump()
    return der


def _basic(response: ocsp.OCSPResponse) -> asn1_ocsp.BasicOCSPResponse:
    parsed = asn1_ocsp.OCSPResponse.load(response.public_bytes(Encoding.DER))
    basic: asn1_ocsp.BasicOCSPResponse = parsed["response_bytes"]["response"].parsed
    return basic
