"""Names a certificate may carry, in one canonical form, so that sets of them can be compared."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from asn1crypto import parser
from asn1crypto.core import ObjectIdentifier
from cryptography import x509

from ca_server.core import name_syntax
from ca_server.core.errors import Kind, refuse


class IdentifierType(StrEnum):
    """One word for each GeneralName type (RFC 5280 §4.2.1.6)."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"
    DIRECTORY = "directory"
    REGISTERED_ID = "registered-id"
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """A name in canonical form: DNS lower-case A-labels, IP compressed, others as RFC 5280 writes them.

    The value of a directory or other name is the lower-case hex of its DER.
    """

    type: IdentifierType
    value: str

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"


_TYPES = ", ".join(IdentifierType)
_CANONICAL: dict[IdentifierType, Callable[[str], str]] = {
    IdentifierType.DNS: name_syntax.canonical_dns,
    IdentifierType.IP: name_syntax.canonical_ip,
    IdentifierType.EMAIL: name_syntax.canonical_email,
    IdentifierType.URI: name_syntax.canonical_uri,
    IdentifierType.DIRECTORY: name_syntax.canonical_der,
    IdentifierType.REGISTERED_ID: name_syntax.canonical_oid,
    IdentifierType.OTHER: name_syntax.canonical_der,
}


def identifier_type(word: str) -> IdentifierType | None:
    """The type that a word names, or None."""
    return next((each for each in IdentifierType if each.value == word), None)


def make_identifier(name_type: IdentifierType, text: str) -> Identifier:
    """The canonical identifier that a text spells.

    Raises:
        CaError: rejected_identifier, a `NAME-...` rule.
    """
    return Identifier(name_type, _CANONICAL[name_type](text))


def parse_identifier(text: str) -> Identifier:
    """The identifier in `type:value`, as logs and the API write it.

    Raises:
        CaError: rejected_identifier, `NAME-TYPE` or the type's own rule.
    """
    word, _, value = text.partition(":")
    name_type = identifier_type(word)
    if name_type is None:
        raise refuse(Kind.REJECTED_IDENTIFIER, "NAME-TYPE", f"a name starts with one of {_TYPES}")
    return make_identifier(name_type, value)


def identifier_of(name: x509.GeneralName) -> Identifier:
    """The canonical identifier of a name in a CSR or certificate.

    Raises:
        CaError: rejected_identifier, a `NAME-...` rule.
    """
    match name:
        case x509.DNSName():
            return make_identifier(IdentifierType.DNS, name.value)
        case x509.IPAddress():
            return make_identifier(IdentifierType.IP, str(name.value))
        case x509.UniformResourceIdentifier():
            return make_identifier(IdentifierType.URI, name.value)
        case x509.RFC822Name():
            return make_identifier(IdentifierType.EMAIL, name.value)
        case x509.DirectoryName():
            return make_identifier(IdentifierType.DIRECTORY, name.value.public_bytes().hex())
        case x509.RegisteredID():
            return make_identifier(IdentifierType.REGISTERED_ID, name.value.dotted_string)
        case x509.OtherName():
            return make_identifier(IdentifierType.OTHER, _other_name_der(name).hex())
    raise refuse(Kind.REJECTED_IDENTIFIER, "NAME-TYPE", f"a name of another type than {_TYPES} is refused")


def to_general_name(identifier: Identifier) -> x509.GeneralName:
    """The name as it goes into a certificate; the inverse of `identifier_of`."""
    value = identifier.value
    match identifier.type:
        case IdentifierType.DNS:
            return x509.DNSName(value)
        case IdentifierType.IP:
            return x509.IPAddress(ipaddress.ip_address(value))
        case IdentifierType.URI:
            return x509.UniformResourceIdentifier(value)
        case IdentifierType.EMAIL:
            return x509.RFC822Name(value)
        case IdentifierType.DIRECTORY:
            return x509.DirectoryName(x509.Name.from_bytes(bytes.fromhex(value)))
        case IdentifierType.REGISTERED_ID:
            return x509.RegisteredID(x509.ObjectIdentifier(value))
        case IdentifierType.OTHER:
            return _other_name_of_der(bytes.fromhex(value))


def _other_name_der(name: x509.OtherName) -> bytes:
    """SEQUENCE { type-id, value [0] EXPLICIT } (RFC 5280 §4.2.1.6)."""
    type_id = ObjectIdentifier(name.type_id.dotted_string).dump()
    der: bytes = parser.emit(0, 1, 16, type_id + parser.emit(2, 1, 0, name.value))
    return der


def _other_name_of_der(der: bytes) -> x509.OtherName:
    content = parser.parse(der, strict=True)[4]
    header, octets = parser.parse(content)[3:5]
    type_id = content[: len(header) + len(octets)]
    value = parser.parse(content[len(type_id) :], strict=True)[4]
    return x509.OtherName(x509.ObjectIdentifier(ObjectIdentifier.load(type_id).dotted), value)
