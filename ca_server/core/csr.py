"""A PKCS#10 certificate request (RFC 2986), read strictly and proven to come from the key's holder.

The bytes are a stranger's. Size is looked at before anything is parsed, the key before its signature is
verified, and whatever a parser says against them becomes one typed refusal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca_server.core.csr_encoding import is_signed, load_request
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.identifiers import Identifier, IdentifierType, identifier_of, make_identifier
from ca_server.core.public_keys import require_known
from ca_server.core.signatures import KeyType, PublicKey

MAX_CSR_BYTES = 64 * 1024

_PEM = re.compile(
    rb"-----BEGIN (?P<label>(?:NEW )?CERTIFICATE REQUEST)-----(?P<body>[A-Za-z0-9+/=\s]+)"
    rb"-----END (?P=label)-----\s*"
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class Csr:
    """What was asked for, by whoever holds the private key; nothing of it is granted yet.

    `identifiers` are the subjectAltName's in canonical form; `extensions` is everything the request asks
    to have in the certificate, subjectAltName included. `der` is what came; `load_request` reads it again.
    """

    der: bytes = field(repr=False)
    subject: x509.Name
    public_key: PublicKey
    key_type: KeyType
    spki_sha256: str
    identifiers: frozenset[Identifier]
    extensions: tuple[x509.Extension[x509.ExtensionType], ...]


def parse_csr(data: bytes) -> Csr:
    """The request in PEM or DER bytes, its signature verified.

    Raises:
        CaError: bad_csr (`CSR-...` and `NAME-...` rules) or bad_public_key (`KEY-...` rules); nothing else.
    """
    if len(data) > MAX_CSR_BYTES:
        raise refuse(Kind.BAD_CSR, "CSR-SIZE", f"a CSR has {MAX_CSR_BYTES} bytes at most")
    der = _der_of(data)
    try:
        return _parse(der)
    except CaError:
        raise
    except x509.DuplicateExtension as error:
        raise _bad("CSR-EXTENSION-DUPLICATE", "an extension is asked for twice") from error
    except x509.UnsupportedGeneralNameType as error:
        raise _bad("CSR-SAN", "subjectAltName has a name of a type that is never certified") from error
    except Exception as error:
        # The parser is another's and the bytes are hostile: whatever it raises means the same here.
        raise _bad("CSR-ENCODING", "this is not a well-formed PKCS#10 certificate request") from error


def named_by_subject(csr: Csr) -> Csr:
    """The same, with its one common name for a DNS name where it has no subjectAltName (RFC 8555 §7.4).

    A common name that is no DNS name names nothing.
    """
    has_names = any(isinstance(each.value, x509.SubjectAlternativeName) for each in csr.extensions)
    found = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if has_names or len(found) != 1:
        return csr
    try:
        name = make_identifier(IdentifierType.DNS, str(found[0].value))
    except CaError:
        return csr
    return replace(csr, identifiers=frozenset({name}))


def _der_of(data: bytes) -> bytes:
    if data[:1] == b"\x30":
        return data
    # certtool puts a description before the block, as RFC 7468 §2 allows; nothing may follow it.
    block = _PEM.fullmatch(data, max(data.find(b"-----BEGIN "), 0))
    if block is None:
        raise _bad(
            "CSR-ENCODING", "one PEM block CERTIFICATE REQUEST is accepted, or DER, and nothing behind it"
        )
    try:
        return base64.b64decode(b"".join(block["body"].split()), validate=True)
    except binascii.Error as error:
        raise _bad("CSR-ENCODING", "the PEM block is not base64") from error


def _parse(der: bytes) -> Csr:
    request = load_request(der)
    public_key, key_type, spki = _public_key(request)
    _require_signature(der, request, public_key)
    _require_single_attributes(request)
    extensions = tuple(request.extensions)
    return Csr(
        der=der,
        subject=request.subject,
        public_key=public_key,
        key_type=key_type,
        spki_sha256=hashlib.sha256(spki).hexdigest(),
        identifiers=_identifiers(extensions),
        extensions=extensions,
    )


def _public_key(request: x509.CertificateSigningRequest) -> tuple[PublicKey, KeyType, bytes]:
    try:
        found = request.public_key()
    except Exception as error:
        # As in parse_csr: unknown algorithms, points off the curve and even exponents end here.
        raise refuse(
            Kind.BAD_PUBLIC_KEY, "CSR-KEY-UNSUPPORTED", "the public key cannot be read or is not sound"
        ) from error
    public_key, key_type = require_known(found)
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if spki not in request.tbs_certrequest_bytes:
        raise refuse(
            Kind.BAD_PUBLIC_KEY,
            "CSR-KEY-ENCODING",
            "the key is accepted in its plain form: named curve, uncompressed point, rsaEncryption",
        )
    return public_key, key_type, spki


def _require_signature(der: bytes, request: x509.CertificateSigningRequest, public_key: PublicKey) -> None:
    """Proof that whoever asks holds the private key (RFC 2986 §3)."""
    used = request.signature_hash_algorithm
    if used is not None and not isinstance(used, _HASHES):
        raise _bad("CSR-SIGNATURE-ALGORITHM", "sign the CSR using SHA-256, SHA-384 or SHA-512")
    if not is_signed(der, request, public_key):
        raise _bad("CSR-SIGNATURE", "the CSR is not signed by the key in it")


def _require_single_attributes(request: x509.CertificateSigningRequest) -> None:
    """Each attribute once; a second extensionRequest would be read by some programs and not by others."""
    seen = [attribute.oid for attribute in request.attributes]
    if len(seen) != len(set(seen)):
        raise _bad("CSR-ATTRIBUTE-DUPLICATE", "an attribute stands twice in the CSR")


def _identifiers(extensions: tuple[x509.Extension[x509.ExtensionType], ...]) -> frozenset[Identifier]:
    names = [
        name
        for each in extensions
        if isinstance(each.value, x509.SubjectAlternativeName)
        for name in each.value
    ]
    if not names and any(isinstance(each.value, x509.SubjectAlternativeName) for each in extensions):
        raise _bad("CSR-SAN", "subjectAltName is there without a name; leave it out (RFC 5280 §4.2.1.6)")
    found: set[Identifier] = set()
    violations: list[Violation] = []
    for name in names:
        try:
            found.add(identifier_of(name))
        except CaError as error:
            violations += error.violations
    if violations:
        raise CaError(Kind.BAD_CSR, violations[0].detail, violations=tuple(violations))
    return frozenset(found)


def _bad(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.BAD_CSR, rule_id, detail, pointer="/csr")
