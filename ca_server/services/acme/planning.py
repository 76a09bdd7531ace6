"""Which authorizations an order rests on: what the account has proven already, and what it must prove now."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ca_server.core.acme.coverage import (
    Scope,
    covers,
    is_proven_by,
    names_above,
    needed_scope,
    usable_challenges,
)
from ca_server.core.acme.resources import Account, NameAuthorization, OrderName
from ca_server.core.profile import Profile
from ca_server.store.authorizations import NewAuthorization, NewChallenge, find_valid
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Times:
    """Now, and the end of authorizations that are made now, in seconds since 1970."""

    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The authorizations of an order: those that are there and those that have to be made."""

    reused: tuple[str, ...]
    new: tuple[NewAuthorization, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.reused, *(each.id for each in self.new))


def plan_authorizations(
    unit: UnitOfWork, account: Account, profile: Profile, names: Sequence[OrderName], times: Times
) -> Plan:
    """One authorization for each scope that the names need."""
    scopes = list(dict.fromkeys(needed_scope(name) for name in names))
    return plan_scopes(unit, account, profile, scopes, times)


def plan_scopes(
    unit: UnitOfWork, account: Account, profile: Profile, scopes: Sequence[Scope], times: Times
) -> Plan:
    """One authorization for each scope; what is valid, and proven as the profile allows, is reused."""
    asked = list(dict.fromkeys(each for scope in scopes for each in names_above(scope.identifier)))
    valid = find_valid(unit.connection, account.id, asked, times.now)
    reused: list[str] = []
    new: list[NewAuthorization] = []
    for scope in scopes:
        found = _reusable(valid, scope, profile)
        if found is None:
            new.append(_new_authorization(account, profile, scope, times))
        else:
            reused.append(found.id)
    return Plan(tuple(dict.fromkeys(reused)), tuple(new))


def _reusable(valid: Sequence[NameAuthorization], scope: Scope, profile: Profile) -> NameAuthorization | None:
    for each in valid:
        if is_proven_by(each, profile.acme.challenges) and _includes(each, scope):
            return each
    return None


def _includes(authorization: NameAuthorization, scope: Scope) -> bool:
    """Whether an authorization is for this very scope, or for a subtree that this name is in."""
    if scope.subdomains or not authorization.subdomains:
        return (authorization.identifier, authorization.wildcard, authorization.subdomains) == (
            scope.identifier,
            scope.wildcard,
            scope.subdomains,
        )
    return covers(authorization, scope.identifier)


def _new_authorization(account: Account, profile: Profile, scope: Scope, times: Times) -> NewAuthorization:
    return NewAuthorization(
        id=secrets.token_urlsafe(24),
        account_id=account.id,
        identifier=scope.identifier,
        wildcard=scope.wildcard,
        subdomains=scope.subdomains,
        created_at=times.now,
        expires_at=times.expires_at,
        challenges=tuple(
            NewChallenge(secrets.token_urlsafe(24), each, secrets.token_urlsafe(32))
            for each in usable_challenges(scope, profile.acme.challenges)
        ),
    )
