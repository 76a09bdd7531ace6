"""The kinds of values that scripts and host files are made of, each with the rule that it keeps."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from ca_server.core.document import Duration, broken
from ca_server.core.errors import CaError
from ca_server.core.name_syntax import canonical_dns, canonical_ip
from ca_server.core.signatures import KeyType

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_ORIGIN = re.compile(r"[a-z0-9.-]{1,253}(?:/[A-Za-z0-9._-]{1,64}){0,8}")
_URL = re.compile(r"http://[A-Za-z0-9._~:/\[\]-]{1,200}[A-Za-z0-9\]]")


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise broken("CEREMONY-ID", "use 1 to 64 of a-z, 0-9 and inner '-'")
    return text


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise broken("CEREMONY-LABEL", "use 1 to 32 of A-Z, a-z, 0-9, '.', '_' and '-'")
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise broken("CEREMONY-ORIGIN", "a log's name looks like example.com/ca-audit/1")
    return text


def _public_url(text: str) -> str:
    """Plain HTTP: fetching a CRL over TLS would need a CRL first (RFC 5280 §8)."""
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _URL.fullmatch(text):
        raise broken("CEREMONY-URL", "use a plain http:// URL without a slash at its end")
    return text


def _dns_name(text: str) -> str:
    if "*" in text or "_" in text or _spelled(canonical_dns, text) != text:
        raise broken("CEREMONY-DNS-NAME", "use a lower-case host name such as ca.example.com")
    return text


def _ip_address(text: str) -> str:
    if _spelled(canonical_ip, text) != text:
        raise broken("CEREMONY-IP-ADDRESS", "use an address such as 192.0.2.1 or 2001:db8::1")
    return text


def _spelled(canonical: Callable[[str], str], text: str) -> str | None:
    try:
        return canonical(text)
    except CaError:
        return None


def _network(text: str) -> str:
    try:
        canonical = str(ipaddress.ip_network(text))
    except ValueError:
        canonical = ""
    if canonical != text:
        raise broken("CEREMONY-NETWORK", "use a network such as 192.0.2.0/24 or 2001:db8::/32")
    return text


def _plain_text(text: str) -> str:
    """Text that prints and compares as it looks: NFC, no control characters, no blanks at its ends."""
    normal = unicodedata.normalize("NFC", text) == text and text.strip() == text
    if not text or not normal or not text.isprintable():
        raise broken("CEREMONY-TEXT", "use printable NFC text without blanks at its ends")
    return text


def _country(text: str) -> str:
    if len(text) != 2 or not (text.isascii() and text.isalpha() and text.isupper()):
        raise broken("CEREMONY-COUNTRY", "use the two capital letters of ISO 3166")
    return text


def _key_type(value: object) -> KeyType:
    if not isinstance(value, str) or value not in set(KeyType):
        raise broken("CEREMONY-KEY-TYPE", f"use one of {', '.join(KeyType)}")
    return KeyType(value)


def _utc(moment: datetime) -> datetime:
    try:
        converted = moment.astimezone(UTC) if moment.tzinfo else None
    except OverflowError:
        converted = None
    if converted is None or converted.microsecond or converted.year < 2000:
        raise broken("CEREMONY-TIME", "use whole seconds with an offset, such as 2027-03-01T00:00:00Z")
    return converted


Slug = Annotated[str, AfterValidator(_slug)]
Label = Annotated[str, AfterValidator(_label)]
Origin = Annotated[str, AfterValidator(_origin)]
PublicURL = Annotated[str, AfterValidator(_public_url)]
DNSName = Annotated[str, AfterValidator(_dns_name)]
IPAddress = Annotated[str, AfterValidator(_ip_address)]
Network = Annotated[str, AfterValidator(_network)]
PlainText = Annotated[str, AfterValidator(_plain_text), Field(max_length=64)]
Words = Annotated[str, AfterValidator(_plain_text), Field(max_length=200)]
Country = Annotated[str, AfterValidator(_country)]
KeyTypeName = Annotated[KeyType, BeforeValidator(_key_type)]
Time = Annotated[datetime, AfterValidator(_utc)]
Lifetime = Annotated[Duration, Field(le=timedelta(days=36525))]
