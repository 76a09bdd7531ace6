"""What a well-formed name is, type by type, and its one canonical spelling.

Names are data and never patterns (R9): `*` stands only where RFC 6125 lets a wildcard stand, and the other
signs that some program somewhere gives a meaning to (`+ , ;` quotes, blanks) are refused outright.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from ca_server.core.errors import CaError, Kind, refuse

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_URI_REST = re.compile(r"(?:[A-Za-z0-9._~:/?@!$&'()=-]|%[0-9A-F]{2})+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9_'-]+(\.[A-Za-z0-9_'-]+)*")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SPIFFE_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,31}")
_DER_HEX = re.compile(r"30([0-9a-f]{2}){1,4096}")

MAX_URI = 2048
MAX_DNS = 253


def canonical_dns(text: str) -> str:
    """A DNS name in lower-case A-labels (RFC 1123 §2.1, RFC 5890 §2.3); `*` may be the whole first label.

    An underscore is let through here; whether a certificate may have one is the profile's to say.

    Raises:
        CaError: rejected_identifier, `NAME-DNS` or `NAME-DNS-WILDCARD`.
    """
    name = text.lower()
    if not name.isascii() or not 1 <= len(name) <= MAX_DNS:
        raise _bad(
            "NAME-DNS", text, f"a DNS name has 1 to {MAX_DNS} ASCII characters; write IDNs as A-labels"
        )
    labels = name.split(".")
    if labels[0] == "*":
        labels = labels[1:]
        if len(labels) < 2:
            raise _bad("NAME-DNS-WILDCARD", text, "a wildcard needs two labels at least below it")
    if any("*" in label for label in labels):
        raise _bad("NAME-DNS-WILDCARD", text, "a wildcard is the whole of the leftmost label or not there")
    for label in labels:
        _require_label(label, text)
    if labels[-1].isdigit():
        raise _bad("NAME-DNS", text, "the last label is a number; an address goes in an iPAddress name")
    return name


def _require_label(label: str, text: str) -> None:
    if not _LABEL.fullmatch(label):
        raise _bad(
            "NAME-DNS",
            text,
            "each label has 1 to 63 letters, digits or inner hyphens, and no dot ends the name",
        )
    if label[2:4] == "--" and not _is_a_label(label):
        raise _bad("NAME-DNS", text, "a label with hyphens in third and fourth place is a valid A-label")


def _is_a_label(label: str) -> bool:
    if not label.startswith("xn--"):
        return False
    try:
        unicode_label = label[4:].encode("ascii").decode("punycode")
        return not unicode_label.isascii() and unicode_label.encode("punycode").decode() == label[4:]
    except UnicodeError:
        return False


def canonical_ip(text: str) -> str:
    """An address in its shortest spelling (RFC 5952).

    Raises:
        CaError: rejected_identifier, `NAME-IP`; an IPv4-mapped IPv6 address too, as it would slip past
            rules written for IPv4.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise _bad("NAME-IP", text, "one IPv4 or IPv6 address is accepted, no network") from None
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        raise _bad("NAME-IP", text, "write an IPv4 address as IPv4, and no zone after an IPv6 address")
    return str(address)


def canonical_email(text: str) -> str:
    """A mailbox with its domain in lower case; the local part keeps its case (RFC 5280 §4.2.1.6).

    Raises:
        CaError: rejected_identifier, `NAME-EMAIL`.
    """
    local, at, domain = text.rpartition("@")
    if not at or not 1 <= len(local) <= 64 or not _LOCAL_PART.fullmatch(local) or len(text) > 254:
        raise _bad(
            "NAME-EMAIL", text, "local@domain is accepted; the local part has letters, digits and . _ - '"
        )
    try:
        domain = canonical_dns(domain)
    except CaError:
        domain = "*"
    if "*" in domain:
        raise _bad("NAME-EMAIL", text, "the part after @ is a DNS name without wildcard")
    return f"{local}@{domain}"


def canonical_uri(text: str) -> str:
    """An absolute URI (RFC 3986) with scheme and host in lower case; a SPIFFE ID keeps SPIFFE's own rules.

    Raises:
        CaError: rejected_identifier, `NAME-URI` or `NAME-URI-SPIFFE`.
    """
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if len(text) > MAX_URI or not colon or not _SCHEME.fullmatch(scheme) or not _URI_REST.fullmatch(rest):
        raise _bad(
            "NAME-URI", text, f"an absolute URI of {MAX_URI} characters at most, without * + , ; # or blanks"
        )
    if scheme == "spiffe":
        return _spiffe_id(f"{scheme}:{rest}")
    if not rest.startswith("//"):
        return f"{scheme}:{rest}"
    host, slash, path = rest[2:].partition("/")
    if not host or "@" in host:
        raise _bad("NAME-URI", text, "a URI with // names a host and no user")
    if {".", ".."} & set(path.split("?")[0].split("/")):
        raise _bad("NAME-URI", text, "a path has no . or .. segments")
    return f"{scheme}://{host.lower()}{slash}{path}"


def _spiffe_id(text: str) -> str:
    """A SPIFFE ID: a trust domain and a path of plain segments (SPIFFE-ID §2)."""
    domain, *segments = text.removeprefix("spiffe://").split("/")
    well_formed = (
        text.startswith("spiffe://")
        and _TRUST_DOMAIN.fullmatch(domain)
        and all(_SPIFFE_SEGMENT.fullmatch(each) and each not in {".", ".."} for each in segments)
    )
    if not well_formed:
        raise _bad(
            "NAME-URI-SPIFFE", text, "spiffe://trust-domain/path with letters, digits and . - _ is accepted"
        )
    return text


def canonical_oid(text: str) -> str:
    """An object identifier in dotted form.

    Raises:
        CaError: rejected_identifier, `NAME-OID`.
    """
    if not _OID.fullmatch(text):
        raise _bad("NAME-OID", text, "dotted numbers such as 1.3.6.1.4.1.1 are accepted")
    return text


def canonical_der(text: str) -> str:
    """The hex of a DER sequence, lower case; used for directory and other names.

    Raises:
        CaError: rejected_identifier, `NAME-DER`.
    """
    name = text.lower()
    if not _DER_HEX.fullmatch(name):
        raise _bad("NAME-DER", text, "the lower-case hex of a DER sequence is accepted")
    return name


Canonical = Callable[[str], str]


def _bad(rule_id: str, text: str, accepted: str) -> CaError:
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    return refuse(Kind.REJECTED_IDENTIFIER, rule_id, f"the name {shown} is refused: {accepted}")
