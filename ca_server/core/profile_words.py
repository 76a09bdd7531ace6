"""The closed vocabularies of profiles: subject attributes, key usages, purposes, subtrees."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal, get_args

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import AfterValidator

from ca_server.core.document import broken

ATTRIBUTES: dict[str, x509.ObjectIdentifier] = {
    "common_name": NameOID.COMMON_NAME,
    "country": NameOID.COUNTRY_NAME,
    "domain_component": NameOID.DOMAIN_COMPONENT,
    "given_name": NameOID.GIVEN_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organization_identifier": NameOID.ORGANIZATION_IDENTIFIER,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "serial_number": NameOID.SERIAL_NUMBER,
    "state_or_province": NameOID.STATE_OR_PROVINCE_NAME,
    "surname": NameOID.SURNAME,
    "title": NameOID.TITLE,
    "user_id": NameOID.USER_ID,
}

AttributeWord = Literal[
    "common_name",
    "country",
    "domain_component",
    "given_name",
    "locality",
    "organization",
    "organization_identifier",
    "organizational_unit",
    "serial_number",
    "state_or_province",
    "surname",
    "title",
    "user_id",
]

KeyUsageWord = Literal[
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
]
KEY_USAGES: tuple[KeyUsageWord, ...] = get_args(KeyUsageWord)

PURPOSES: dict[str, x509.ObjectIdentifier] = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "kerberos_kdc": ExtendedKeyUsageOID.KERBEROS_PKINIT_KDC,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "smartcard_logon": ExtendedKeyUsageOID.SMARTCARD_LOGON,
    "time_stamping": ExtendedKeyUsageOID.TIME_STAMPING,
}
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,31}")


def _purpose(text: str) -> str:
    if text not in PURPOSES and not _OID.fullmatch(text):
        raise broken("PROFILE-EKU-WORD", f"use one of {', '.join(PURPOSES)}, or a dotted OID")
    return text


PurposeWord = Annotated[str, AfterValidator(_purpose)]


def purpose_oid(word: str) -> x509.ObjectIdentifier:
    """The object identifier of an extended key usage in a profile."""
    return PURPOSES.get(word) or x509.ObjectIdentifier(word)


def subtree_name(text: str) -> x509.GeneralName:
    """The base of a name-constraint subtree (RFC 5280 §4.2.1.10).

    Raises:
        ValueError: it is of another type, or not well-formed.
    """
    word, _, value = text.partition(":")
    if not value:
        raise ValueError("no type")
    match word:
        case "dns":
            return x509.DNSName(value)
        case "ip":
            return x509.IPAddress(ipaddress.ip_network(value))
        case "email":
            return x509.RFC822Name(value)
        case "uri":
            return x509.UniformResourceIdentifier(value)
    raise ValueError("unknown type")


def _subtree(text: str) -> str:
    try:
        subtree_name(text)
    except ValueError as error:
        raise broken(
            "PROFILE-SUBTREE", "use dns:example.com, ip:10.0.0.0/8, email:example.com or uri:.example.com"
        ) from error
    return text


SubtreeText = Annotated[str, AfterValidator(_subtree)]


def tuple_of_list(value: object) -> object:
    """TOML's arrays are lists; a frozen model holds tuples."""
    return tuple(value) if isinstance(value, list) else value


def one_of(words: type[StrEnum]) -> Callable[[object], object]:
    """A validator that turns a word into its member and leaves refusing others to the model."""
    return lambda value: next((each for each in words if each.value == value), value)
