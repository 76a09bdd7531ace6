"""Patterns over names: what a profile, a site or a credential allows or denies.

A pattern is written by an officer; a name comes from a stranger. Only the pattern's `*` means anything, a
name's never does (R9). In a DNS pattern `*` is exactly one label and a leading `**` is one or more; in a
URI `*` is one segment and a closing `**` one or more; `*` may be the local part of an email address; an
IP pattern is an address or a network. `*` or `**` alone is every name of the type.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.identifiers import Identifier, IdentifierType, identifier_type, make_identifier

_DNS_LABEL = re.compile(r"\*|[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(//)?")
_URI_PART = re.compile(r"\*{1,2}|[A-Za-z0-9._~%@!$&'()?=-]*")
_EVERY = ("**",)

MAX_PATTERN = 2100

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A parsed pattern; `type` None is every type. `parts` are labels or segments from the fixed end."""

    type: IdentifierType | None
    parts: tuple[str, ...]
    network: Network | None = None

    @property
    def is_every(self) -> bool:
        """Whether it stands for every name of its type."""
        return self.parts == _EVERY


@lru_cache(maxsize=4096)
def parse_pattern(text: str) -> NamePattern:
    """The pattern in `type:glob`, or `*` for every name of every type.

    Raises:
        CaError: malformed, `NAME-PATTERN`.
    """
    if text == "*":
        return NamePattern(None, _EVERY)
    word, _, glob = text.partition(":")
    kind = identifier_type(word)
    if kind is None or not glob or len(text) > MAX_PATTERN:
        raise _bad(text)
    if glob in {"*", "**"} and (glob == "**" or kind is not IdentifierType.DNS):
        return NamePattern(kind, _EVERY)
    match kind:
        case IdentifierType.DNS:
            return NamePattern(kind, _dns_parts(glob, text))
        case IdentifierType.EMAIL:
            local, at, domain = glob.rpartition("@")
            if not at or (local != "*" and not _is_name(IdentifierType.EMAIL, f"{local}@example.com")):
                raise _bad(text)
            return NamePattern(kind, (local, *_dns_parts(domain, text)))
        case IdentifierType.URI:
            return NamePattern(kind, _uri_parts(glob, text))
        case IdentifierType.IP:
            return NamePattern(kind, (), _network(glob, text))
        case _:
            return NamePattern(kind, (_literal(kind, glob, text),))


def matches(identifier: Identifier, pattern: str) -> bool:
    """Whether the pattern stands for all that the identifier stands for; used to allow.

    Raises:
        CaError: malformed, `NAME-PATTERN`, the pattern is no pattern.
    """
    return _fits(parse_pattern(pattern), identifier, denying=False)


def touches(identifier: Identifier, pattern: str) -> bool:
    """Whether some name that the identifier stands for fits the pattern; used to deny.

    It differs from `matches` for a wildcard alone: `*.example.com` stands for `secret.example.com`.

    Raises:
        CaError: malformed, `NAME-PATTERN`, the pattern is no pattern.
    """
    return _fits(parse_pattern(pattern), identifier, denying=True)


def _fits(pattern: NamePattern, identifier: Identifier, *, denying: bool) -> bool:
    if pattern.type is not None and pattern.type is not identifier.type:
        return False
    if pattern.is_every:
        return True
    if pattern.network is not None:
        address = ipaddress.ip_address(identifier.value)
        return address.version == pattern.network.version and address in pattern.network
    return _parts_fit(pattern.parts, _name_parts(identifier), any_star=denying)


def _parts_fit(pattern: tuple[str, ...], name: tuple[str, ...], *, any_star: bool) -> bool:
    """Compare from the fixed end. A closing `**` takes all that is left, which is one part at least."""
    if pattern[-1] == "**":
        pattern, name, rest = pattern[:-1], name[: len(pattern) - 1], len(name) - len(pattern) + 1
        if rest < 1:
            return False
    return len(pattern) == len(name) and all(
        wanted in ("*", part) or (any_star and part == "*")
        for wanted, part in zip(pattern, name, strict=True)
    )


def _name_parts(identifier: Identifier) -> tuple[str, ...]:
    match identifier.type:
        case IdentifierType.DNS:
            return _reversed_labels(identifier.value)
        case IdentifierType.EMAIL:
            local, _, domain = identifier.value.rpartition("@")
            return (local, *_reversed_labels(domain))
        case IdentifierType.URI:
            return _segments(identifier.value)
        case _:
            return (identifier.value,)


def _reversed_labels(name: str) -> tuple[str, ...]:
    return tuple(reversed(name.split(".")))


def _segments(uri: str) -> tuple[str, ...]:
    """Scheme, host and path segments; a URI without `//` is cut at its colons (RFC 8141 §2)."""
    scheme, _, rest = uri.partition(":")
    if rest.startswith("//"):
        return (f"{scheme}://", *rest[2:].split("/"))
    return (f"{scheme}:", *rest.split(":"))


def _dns_parts(glob: str, text: str) -> tuple[str, ...]:
    labels = glob.lower().split(".")
    fixed = labels[1:] if labels[0] == "**" else labels
    if not fixed or not all(_DNS_LABEL.fullmatch(label) for label in fixed):
        raise _bad(text)
    return tuple(reversed(labels))


def _uri_parts(glob: str, text: str) -> tuple[str, ...]:
    scheme, *parts = _segments(glob)
    if not _SCHEME.fullmatch(scheme) or not all(_URI_PART.fullmatch(part) for part in parts):
        raise _bad(text)
    if not any(parts) or "**" in parts[:-1]:
        raise _bad(text)
    return (scheme, *parts)


def _network(glob: str, text: str) -> Network:
    try:
        return ipaddress.ip_network(glob)
    except ValueError:
        raise _bad(text) from None


def _literal(kind: IdentifierType, glob: str, text: str) -> str:
    if not _is_name(kind, glob):
        raise _bad(text)
    return glob


def _is_name(kind: IdentifierType, value: str) -> bool:
    try:
        make_identifier(kind, value)
    except CaError:
        return False
    return True


def _bad(text: str) -> CaError:
    return refuse(
        Kind.MALFORMED,
        "NAME-PATTERN",
        f"{text[:80]!a} is no name pattern: write dns:*.example.com, dns:**.example.com, ip:10.0.0.0/8, "
        "email:*@example.com, uri:spiffe://example.org/**, or * for every name",
    )
