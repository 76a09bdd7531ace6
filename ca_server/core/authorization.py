"""Who may have what: a sealed value that only a protocol's completion step can make (R1, R14).

A `Mint` is given to each protocol when the server is composed. The gate holds the `SealCheck` of all of
them and refuses an authorization that no mint sealed, that was altered, or that another protocol made.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from ca_server.core.errors import Kind, refuse
from ca_server.core.identifiers import Identifier


class Role(StrEnum):
    """The four roles; a principal has exactly one."""

    ADMINISTRATOR = "administrator"
    OFFICER = "officer"
    AUDITOR = "auditor"
    REQUESTER = "requester"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has proven who they are, and what they are allowed at most.

    `profiles` and `names` are patterns; an empty tuple allows none, `("*",)` allows all. A name pattern is
    `type:glob`, such as `dns:*.example.com`, and is matched by `core.identifiers`.
    """

    id: str
    role: Role
    auth: str
    profiles: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authorization:
    """Permission for one certificate: this principal, this profile, exactly these names."""

    protocol: str
    principal: Principal
    profile: str
    identifiers: frozenset[Identifier]
    seal: bytes = field(repr=False)


class Mint:
    """Seals authorizations for one protocol with a key that never leaves the process."""

    def __init__(self, protocol: str, key: bytes) -> None:
        self.protocol = protocol
        self._key = key

    def authorize(
        self, principal: Principal, profile: str, identifiers: frozenset[Identifier]
    ) -> Authorization:
        """The sealed permission; called by the protocol's completion step alone."""
        seal = _seal(self._key, self.protocol, principal, profile, identifiers)
        return Authorization(self.protocol, principal, profile, identifiers, seal)


class SealCheck:
    """Knows the key of every mint of this process and refuses what none of them sealed."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys

    def require(self, authorization: Authorization) -> None:
        """Pass only an authorization that its own protocol's mint sealed.

        Raises:
            CaError: forbidden, `GATE-AUTHORIZATION`.
        """
        key = self._keys.get(authorization.protocol)
        expected = key and _seal(
            key,
            authorization.protocol,
            authorization.principal,
            authorization.profile,
            authorization.identifiers,
        )
        if not expected or not hmac.compare_digest(expected, authorization.seal):
            raise refuse(Kind.FORBIDDEN, "GATE-AUTHORIZATION", "this authorization was not made here")


def _seal(
    key: bytes, protocol: str, principal: Principal, profile: str, identifiers: frozenset[Identifier]
) -> bytes:
    fields = [protocol, profile, principal.id, principal.role, principal.auth]
    fields += ["profiles", *principal.profiles, "names", *principal.names, "identifiers"]
    fields += [str(identifier) for identifier in sorted(identifiers)]
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for text in fields:
        octets = text.encode()
        digest.update(len(octets).to_bytes(4, "big") + octets)
    return digest.digest()
