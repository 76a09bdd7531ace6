"""Which authorization stands for which name, and which challenges can prove it (RFC 8555 §7.1.3, RFC 9444).

Nothing covers by likeness: a name, its wildcard, and the names below an ancestor are three things.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ca_server.core.acme.resources import ChallengeType, NameAuthorization, OrderName, Status
from ca_server.core.identifiers import Identifier, IdentifierType

# They prove a name with its wildcard, or with all below it.
BY_DNS = (ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01, ChallengeType.DNS_PERSIST_01)
_BY_HOST = (ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01)


@dataclass(frozen=True, slots=True)
class Scope:
    """What must be authorized: a name, its wildcard, or a name with all that is below it."""

    identifier: Identifier
    wildcard: bool = False
    subdomains: bool = False


def needed_scope(name: OrderName) -> Scope:
    """What must be authorized for one name of an order."""
    if name.ancestor is not None:
        return Scope(Identifier(IdentifierType.DNS, name.ancestor), subdomains=True)
    base = name.identifier.value.removeprefix("*.")
    if name.identifier.type is IdentifierType.DNS and base != name.identifier.value:
        return Scope(Identifier(IdentifierType.DNS, base), wildcard=True)
    return Scope(name.identifier)


def usable_challenges(scope: Scope, allowed: Collection[ChallengeType]) -> tuple[ChallengeType, ...]:
    """The challenges that can prove this scope, of those that a profile allows.

    Names below and wildcards are proven in DNS alone (RFC 8555 §8.3, RFC 8737 §3, RFC 9444 §5), addresses
    by the host alone (RFC 8738 §7).
    """
    able: tuple[ChallengeType, ...]
    if scope.identifier.type is IdentifierType.IP:
        able = _BY_HOST
    elif scope.wildcard or scope.subdomains:
        able = BY_DNS
    else:
        able = (*_BY_HOST, *BY_DNS)
    return tuple(each for each in able if each in allowed)


def covers(authorization: NameAuthorization, identifier: Identifier) -> bool:
    """Whether this authorization, if it is valid, stands for this very name of a certificate."""
    base = identifier.value.removeprefix("*.")
    is_wildcard = identifier.type is IdentifierType.DNS and base != identifier.value
    if authorization.subdomains:
        return identifier.type is IdentifierType.DNS and is_at_or_below(base, authorization.identifier.value)
    return authorization.identifier == Identifier(identifier.type, base) and (
        authorization.wildcard == is_wildcard
    )


def names_above(identifier: Identifier) -> Iterator[Identifier]:
    """Every name whose authorization could stand for this one: its own, and those above it (RFC 9444)."""
    if identifier.type is not IdentifierType.DNS:
        yield identifier
        return
    labels = identifier.value.removeprefix("*.").split(".")
    for start in range(len(labels)):
        yield Identifier(IdentifierType.DNS, ".".join(labels[start:]))


def is_at_or_below(name: str, ancestor: str) -> bool:
    """Whether a DNS name is the ancestor or one of its subdomains."""
    return name == ancestor or name.endswith(f".{ancestor}")


def is_proven_by(authorization: NameAuthorization, allowed: Collection[ChallengeType]) -> bool:
    """Whether it is valid, has its evidence, and was proven by a challenge that is allowed."""
    return (
        authorization.status is Status.VALID
        and authorization.evidence_number is not None
        and any(each.status is Status.VALID and each.type in allowed for each in authorization.challenges)
    )


def proven_names(
    names: Iterable[Identifier],
    authorizations: Iterable[NameAuthorization],
    allowed: Collection[ChallengeType],
) -> frozenset[Identifier]:
    """The names that valid authorizations with evidence stand for, each counted by itself (R11)."""
    proven = [each for each in authorizations if is_proven_by(each, allowed)]
    return frozenset(name for name in names if any(covers(each, name) for each in proven))
