"""Keys that the server makes for clients that cannot (RFC 7030 §4.4); none is kept, logged or given twice.

The key is made in this process and not in the HSM: it has to leave. Whatever can be refused is refused before
it is made, so that no enrolment secret is used up for nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import AttributeOID

from ca_server.core.csr import Csr, named_by_subject, parse_csr
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est import key_package
from ca_server.core.est.channel_binding import require_text
from ca_server.core.est.key_package import Fresh, SigningKey
from ca_server.core.est.server_key_request import ServerKeyRequest
from ca_server.core.profile import Profile
from ca_server.core.signatures import KeyType, default_algorithm
from ca_server.hsm.software import make_key
from ca_server.services.est.applicants import Applicant
from ca_server.services.est.enrol import issue_to, require_held, require_unspent
from ca_server.services.est.linking import require_linked
from ca_server.services.est.parts import EstParts
from ca_server.services.outcome import IssuedCertificate

PLAIN = "application/pkcs8"
PROTECTED = "application/pkcs7-mime; smime-type=server-generated-key"

# Algorithms by kind as SMIMECapabilities names them: those used here, the best first, and those that are not.
_OAEP, _PKCS1 = "1.2.840.113549.1.1.7", "1.2.840.113549.1.1.1"
_TRANSPORT = ((_OAEP, _PKCS1), ())
# ECDH with the X9.63 KDF: SHA-256; SHA-1, SHA-384, SHA-512 (RFC 5753 §7.1.4).
_AGREEMENT = (("1.3.132.1.11.1",), ("1.3.133.16.840.63.0.2", "1.3.132.1.11.2", "1.3.132.1.11.3"))
# AES-256 key wrap; 128, 192, triple DES (RFC 3565, RFC 3370).
_WRAP = (
    ("2.16.840.1.101.3.4.1.45",),
    ("2.16.840.1.101.3.4.1.5", "2.16.840.1.101.3.4.1.25", "1.2.840.113549.1.9.16.3.6"),
)
# AES-256-CBC; 128, 192, triple DES.
_CONTENT = (
    ("2.16.840.1.101.3.4.1.42",),
    ("2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.22", "1.2.840.113549.3.7"),
)

# A SignedData with the key in it becomes what the client gets.
Seal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class PackageSigner:
    """Where the server's TLS certificate and key lie: whoever makes a key signs for it (§4.4.2).

    They are read for each package, because the certificate is renewed while the server runs.
    """

    chain: Path
    key: Path

    def sign(self, pkcs8: bytes) -> bytes:
        """A SignedData with this private key in it.

        Raises:
            CaError: unavailable, the files cannot be read or used.
        """
        try:
            chain = x509.load_pem_x509_certificates(self.chain.read_bytes())
            key = load_pem_private_key(self.key.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise CaError(Kind.UNAVAILABLE, "the server cannot sign the key now") from error
        if not isinstance(key, SigningKey):
            raise CaError(Kind.UNAVAILABLE, "the server cannot sign the key now")
        return key_package.signed_key_package(pkcs8, key, chain)


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A certificate, and its private key as the client asked for it."""

    issued: IssuedCertificate
    key_part: bytes = field(repr=False)
    media_type: str


def make_server_key(
    parts: EstParts, applicant: Applicant, profile: Profile, wanted: ServerKeyRequest, signer: PackageSigner
) -> ServerKey:
    """A new key and its certificate; asking again makes another of each, and uses the secret again.

    Raises:
        CaError: forbidden, `EST-SERVER-KEY`, the profile makes no keys; bad_csr, `EST-KEY-PROTECTION`,
            `CSR-CHALLENGE-PASSWORD` or `EST-CHANNEL-BINDING`; unauthenticated, `EST-SECRET-SPENT`;
            unavailable; whatever `issue_to` raises.
    """
    allowed = profile.est.server_keys
    if not allowed:
        raise refuse(
            Kind.FORBIDDEN, "EST-SERVER-KEY", f"no keys are made for {profile.name}; make one, and enrol it"
        )
    require_unspent(parts, applicant)
    seal = _seal_for(applicant, wanted)
    # Judged with a key that costs nothing: RSA keys are not made for whoever may not have them.
    draft = _request(wanted, profile, make_key(KeyType.EC_P256), KeyType.EC_P256)
    require_held(applicant, profile, named_by_subject(draft))
    require_linked(profile, draft, applicant.channel_binding)
    key_type = wanted.key_type if wanted.key_type in allowed else allowed[0]
    key = make_key(key_type)
    csr = _request(wanted, profile, key, key_type)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    package = pkcs8 if seal is None else seal(signer.sign(pkcs8))
    issued = issue_to(parts, applicant, profile, csr)
    return ServerKey(issued, package, PLAIN if seal is None else PROTECTED)


def _request(wanted: ServerKeyRequest, profile: Profile, key: SigningKey, key_type: KeyType) -> Csr:
    """The client's own request with the new key in it; an identifier of the old one says nothing any more.

    Raises:
        CaError: as `parse_csr`; bad_csr, `CSR-CHALLENGE-PASSWORD`, where it has to bind to the connection.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(wanted.subject)
    for each in wanted.extensions:
        if not isinstance(each.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(each.value, each.critical)
    if wanted.challenge_password is not None and profile.est.channel_binding:
        password = require_text(wanted.challenge_password)
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, password)
    request = builder.sign(key, default_algorithm(key_type).hash)
    return parse_csr(request.public_bytes(Encoding.DER))


def _seal_for(applicant: Applicant, wanted: ServerKeyRequest) -> Seal | None:
    """How the key is encrypted beside TLS; None where the client does not ask for it.

    Raises:
        CaError: bad_csr, `EST-KEY-PROTECTION` (§4.4.1.1, §4.4.1.2: an unusable key ends the request).
    """
    if wanted.symmetric is None and wanted.asymmetric is None:
        return None
    if wanted.symmetric is not None and wanted.asymmetric is not None:
        raise _unusable("the CSR names a symmetric and an asymmetric key; name one")
    _choose(wanted, _CONTENT)
    fresh = Fresh(secrets.token_bytes(32), secrets.token_bytes(16))
    if wanted.symmetric is not None:
        return _seal_for_secret(applicant, wanted, fresh)
    return _seal_for_certificate(applicant, wanted, fresh)


def _seal_for_secret(applicant: Applicant, wanted: ServerKeyRequest, fresh: Fresh) -> Seal:
    secret, password = applicant.secret, applicant.password
    if secret is None or password is None or wanted.symmetric != secret.id.encode():
        raise _unusable(
            "DecryptKeyIdentifier is the id of the enrolment secret that this request is made with"
        )
    _choose(wanted, _WRAP)
    key = key_package.key_encryption_key(password)
    return lambda signed: key_package.seal_for_secret(signed, key, secret.id.encode(), fresh)


def _seal_for_certificate(applicant: Applicant, wanted: ServerKeyRequest, fresh: Fresh) -> Seal:
    certificate = applicant.certificate
    if certificate is None or wanted.asymmetric not in _key_identifiers(certificate):
        raise _unusable(
            "AsymmetricDecryptKeyIdentifier is the subjectKeyIdentifier of the client certificate that this "
            "request is made with"
        )
    public_key = certificate.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        oaep = _choose(wanted, _TRANSPORT) == _OAEP
        return lambda signed: key_package.seal_for_rsa(signed, certificate, fresh, oaep=oaep)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        _choose(wanted, _AGREEMENT)
        _choose(wanted, _WRAP)
        ephemeral = ec.generate_private_key(public_key.curve)
        return lambda signed: key_package.seal_for_ec(signed, certificate, ephemeral, fresh)
    raise _unusable("the client certificate's key can only sign; RSA and EC keys can be encrypted to")


def _key_identifiers(certificate: x509.Certificate) -> set[bytes]:
    """The identifier in the certificate, and the one that RFC 5280 §4.2.1.2 makes of its key."""
    found = {x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest}
    try:
        found.add(certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest)
    except x509.ExtensionNotFound:
        return found
    return found


def _choose(wanted: ServerKeyRequest, kind: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    """The algorithm to use of one kind; a client that names none of that kind leaves the choice to us."""
    ours, others = kind
    named = wanted.capabilities or frozenset()
    for algorithm in ours:
        if algorithm in named:
            return algorithm
    if named.intersection(others):
        raise _unusable(
            "SMIMECapabilities has nothing that is used here: AES-256 in CBC mode, AES-256 key wrap, RSA, "
            "ECDH with the X9.63 KDF and SHA-256"
        )
    return ours[0]


def _unusable(detail: str) -> CaError:
    return refuse(Kind.BAD_CSR, "EST-KEY-PROTECTION", detail, pointer="/csr")
