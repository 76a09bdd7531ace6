"""The resources of ACME as values (RFC 8555 §7.1). Times are seconds since 1970; URLs belong to the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ca_server.core.identifiers import Identifier

# What profiles, authorizations and certificates say of what came by this protocol.
PROTOCOL = "acme"


class ChallengeType(StrEnum):
    """Every way to prove control of a name that this server knows."""

    HTTP_01 = "http-01"
    DNS_01 = "dns-01"
    TLS_ALPN_01 = "tls-alpn-01"
    DNS_ACCOUNT_01 = "dns-account-01"
    DNS_PERSIST_01 = "dns-persist-01"


class Status(StrEnum):
    """The states of RFC 8555 §7.1.6; each resource has some of them."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Binding:
    """The external account key that an account was bound with: whose it is, and what it allows at most.

    `profiles` and `names` are patterns, as in `core.authorization.Principal`.
    """

    key_id: str
    owner: str
    profiles: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """An account of one directory; a directory bears the name of its default profile."""

    id: str
    directory: str
    status: Status
    thumbprint: str
    jwk: Mapping[str, Any]
    contacts: tuple[str, ...]
    terms_agreed_at: int | None
    created_at: int
    binding: Binding | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something failed: a word of RFC 8555 §6.7 such as `connection`, and a sentence."""

    type: str
    detail: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove one name; `error` is the newest failure, `account_url` the `kid` that answered."""

    id: str
    type: ChallengeType
    token: str
    status: Status
    error: Problem | None
    validated_at: int | None
    account_url: str | None


@dataclass(frozen=True, slots=True)
class NameAuthorization:
    """An account's authorization for one name (RFC 8555 §7.1.4); `status` says `expired` where it is so.

    `identifier` is without the wildcard's label; `subdomains` where every name below is covered (RFC 9444).
    """

    id: str
    account_id: str
    identifier: Identifier
    wildcard: bool
    subdomains: bool
    status: Status
    created_at: int
    expires_at: int
    evidence_number: int | None
    caa_checked_at: int | None
    challenges: tuple[Challenge, ...]


@dataclass(frozen=True, slots=True)
class OrderName:
    """One name of an order as the client asked for it, wildcard and all; `ancestor` is RFC 9444's."""

    identifier: Identifier
    ancestor: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order (RFC 8555 §7.1.3) with the status that its authorizations give it.

    `replaces` is a certificate's id; `counted` is False for a renewal in time, which no limit counts.
    """

    id: str
    account_id: str
    profile: str
    status: Status
    names: tuple[OrderName, ...]
    not_before: int | None
    not_after: int | None
    created_at: int
    expires_at: int
    error: Problem | None
    replaces: str | None
    counted: bool
    certificate_id: str | None
    authorization_ids: tuple[str, ...]

    @property
    def identifiers(self) -> frozenset[Identifier]:
        """The names that its certificate will have."""
        return frozenset(name.identifier for name in self.names)
