"""A CSR that asks for a key to be made, and how that key is to be protected (RFC 7030 §4.4.1).

Its own key and signature say nothing: whoever cannot make a key has to put something there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asn1crypto import core, parser
from cryptography import x509
from cryptography.x509.oid import AttributeOID

from ca_server.core.csr import MAX_CSR_BYTES
from ca_server.core.csr_encoding import load_request
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import KeyType, key_type_of

SYMMETRIC_KEY = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.37")  # id-aa-decryptKeyID, RFC 4108 §2.2.5
ASYMMETRIC_KEY = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.54")  # id-aa-asymmDecryptKeyID
CAPABILITIES = x509.ObjectIdentifier("1.2.840.113549.1.9.15")  # RFC 8551 §2.5.2

_OID_TAG = 6


@dataclass(frozen=True, slots=True)
class ServerKeyRequest:
    """What is wanted in the certificate, and how the key is to travel.

    `key_type` is that of the key in the CSR, None if it is of no type that is known here. `symmetric` and
    `asymmetric` name the key that protects the new one, None without such a wish; `capabilities` are the
    algorithms that the client can use for it, as dotted OIDs, None where it does not say.
    """

    subject: x509.Name
    extensions: tuple[x509.Extension[x509.ExtensionType], ...]
    challenge_password: bytes | None = field(repr=False)
    key_type: KeyType | None
    symmetric: bytes | None
    asymmetric: bytes | None
    capabilities: frozenset[str] | None


def read_server_key_request(der: bytes) -> ServerKeyRequest:
    """What a CSR in DER asks for.

    Raises:
        CaError: bad_csr, `CSR-SIZE`, `CSR-ENCODING` or `CSR-ATTRIBUTE-DUPLICATE`.
    """
    if len(der) > MAX_CSR_BYTES:
        raise refuse(Kind.BAD_CSR, "CSR-SIZE", f"a CSR has {MAX_CSR_BYTES} bytes at most")
    try:
        return _read(load_request(der))
    except CaError:
        raise
    except Exception as error:
        # As in parse_csr: the parser is another's and the bytes are hostile.
        detail = "this is not a well-formed PKCS#10 certificate request"
        raise refuse(Kind.BAD_CSR, "CSR-ENCODING", detail, pointer="/csr") from error


def _read(request: x509.CertificateSigningRequest) -> ServerKeyRequest:
    attributes = {each.oid: each.value for each in request.attributes}
    if len(attributes) != len(request.attributes):
        detail = "an attribute stands twice in the CSR"
        raise refuse(Kind.BAD_CSR, "CSR-ATTRIBUTE-DUPLICATE", detail, pointer="/csr")
    capabilities = attributes.get(CAPABILITIES)
    return ServerKeyRequest(
        subject=request.subject,
        extensions=tuple(request.extensions),
        challenge_password=attributes.get(AttributeOID.CHALLENGE_PASSWORD),
        key_type=_key_type(request),
        symmetric=attributes.get(SYMMETRIC_KEY),
        asymmetric=attributes.get(ASYMMETRIC_KEY),
        capabilities=None if capabilities is None else frozenset(_oids(capabilities)),
    )


def _key_type(request: x509.CertificateSigningRequest) -> KeyType | None:
    try:
        return key_type_of(request.public_key())
    except Exception:  # noqa: BLE001 - as above; RFC 7030 §4.4.1 lets this key be anything
        return None


def _oids(content: bytes) -> list[str]:
    """The capabilityIDs of SMIMECapabilities, whose parameters say nothing more of what is used here."""
    found, offset = [], 0
    while offset < len(content):
        _, _, _, header, capability, trailer = parser.parse(content[offset:])
        offset += len(header) + len(capability) + len(trailer)
        _, _, tag, header, value, _ = parser.parse(capability)
        if tag != _OID_TAG:
            raise ValueError("a capability begins with its OID")
        found.append(core.ObjectIdentifier.load(header + value).dotted)
    return found
