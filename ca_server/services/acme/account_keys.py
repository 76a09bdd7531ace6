"""Which keys may not be an account's although they are sound: those that others may hold, and our own."""

from __future__ import annotations

from ca_server.core.errors import Kind, refuse
from ca_server.core.jose import Jwk
from ca_server.store.authorities import find_authority_of_key
from ca_server.store.issuance import is_compromised
from ca_server.store.unit_of_work import UnitOfWork


def require_usable_key(unit: UnitOfWork, jwk: Jwk) -> None:
    """Pass only a key that is neither on the compromise list nor an authority's.

    Raises:
        CaError: bad_public_key, `KEY-COMPROMISED` or `KEY-OWN`.
    """
    if is_compromised(unit.connection, jwk.spki_sha256):
        raise refuse(Kind.BAD_PUBLIC_KEY, "KEY-COMPROMISED", "this key is on the compromise list")
    if find_authority_of_key(unit.connection, jwk.spki_sha256) is not None:
        raise refuse(Kind.BAD_PUBLIC_KEY, "KEY-OWN", "this key is one of our own authorities'")
