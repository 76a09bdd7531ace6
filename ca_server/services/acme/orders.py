"""Orders and pre-authorizations: what an account asks for, and which names it still has to prove.

Everything that can be judged without a CSR is judged here, so that a client hears at once what it cannot
have; the gate judges all of it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from ca_server.core.acme.coverage import Scope, needed_scope, usable_challenges
from ca_server.core.acme.resources import Account, NameAuthorization, Order, OrderName
from ca_server.core.acme.settings import AcmeConfig
from ca_server.core.authorization import Principal
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.core.name_patterns import matches
from ca_server.core.name_rules import count_violations, one_name_violations
from ca_server.core.profile import Profile
from ca_server.core.validity_rules import judge_validity
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.accounts import principal_of, require_may_order
from ca_server.services.acme.order_limits import spend_order
from ca_server.services.acme.planning import Times, plan_authorizations, plan_scopes
from ca_server.services.acme.renewal import find_replaced
from ca_server.services.context import Context, actor_of, new_id
from ca_server.services.issuers import Issuers
from ca_server.store import authorizations, orders
from ca_server.store.orders import StoredOrder, names_text
from ca_server.store.unit_of_work import BrokenRule

_TYPES = (IdentifierType.DNS, IdentifierType.IP)


@dataclass(frozen=True, slots=True)
class OrderRules:
    """What an order is judged by."""

    settings: AcmeConfig
    policies: PolicyStore
    issuers: Issuers


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asked for; `replaces` is the certificate's identifier of RFC 9773 §4.1 as sent."""

    names: tuple[OrderName, ...]
    not_before: datetime | None = None
    not_after: datetime | None = None
    replaces: str | None = None


def create_order(
    context: Context, rules: OrderRules, account: Account, profile: Profile, new: NewOrder
) -> Order:
    """A new order, with valid authorizations reused and pending ones made for the rest (RFC 8555 §7.4).

    Raises:
        CaError: rejected_identifier with a violation for each name (`/identifiers/N`); policy_refused, the
            profile refuses the times; forbidden, the account may not have this profile; rate_limited;
            conflict, `ACME-REPLACED`; unavailable.
    """
    require_may_order(context, account, profile)
    now = context.clock.now()
    principal = principal_of(account)
    _judge(rules, principal, profile, new, now)
    identifiers = frozenset(name.identifier for name in new.names)
    replaced = None if new.replaces is None else find_replaced(context, account, new.replaces, identifiers)
    replaces = None if replaced is None else replaced.certificate_id
    order = _stored(rules, account, profile, new, replaces, now)
    data = {
        "account": account.id,
        "order": order.id,
        "profile": profile.name,
        "names": len(new.names),
        "names_sha256": hashlib.sha256("\n".join(sorted(map(str, identifiers))).encode()).hexdigest(),
    }
    event = context.event("order.created", actor_of(principal), data, event_id=order.event_id)
    times = Times(order.created_at, order.expires_at)
    try:
        with context.database.write() as unit:
            # One free order a certificate, or a client could have as many as it likes by letting them fail.
            is_free = (
                replaced is not None
                and replaced.in_time
                and not orders.was_replaced(unit.connection, replaced.certificate_id)
            )
            limits = rules.settings.limits
            spend_order(unit, limits, account.id, new.names, order.created_at, is_free=is_free)
            order = replace(order, counted=int(not is_free))
            plan = plan_authorizations(unit, account, profile, new.names, times)
            authorizations.insert_authorizations(unit, plan.new)
            orders.insert_order(unit, order, plan.ids)
            found = orders.find_order(unit.connection, order.id, order.created_at)
            unit.commit(event)
    except BrokenRule as error:
        raise refuse(
            Kind.CONFLICT, "ACME-REPLACED", "another order replaces this certificate already"
        ) from error
    assert found is not None
    return found


def pre_authorize(
    context: Context,
    rules: OrderRules,
    account: Account,
    profile: Profile,
    name: Identifier,
    *,
    subdomains: bool,
) -> NameAuthorization:
    """An authorization ahead of any order (RFC 8555 §7.4.1); a valid one that is there is given again.

    Raises:
        CaError: as `create_order`; malformed, `ACME-WILDCARD`: wildcards are not pre-authorized.
    """
    require_may_order(context, account, profile)
    if name.value.startswith("*."):
        raise refuse(
            Kind.MALFORMED, "ACME-WILDCARD", "a wildcard cannot be authorized ahead of an order (§7.4.1)"
        )
    if subdomains and name.type is not IdentifierType.DNS:
        raise refuse(Kind.MALFORMED, "ACME-ANCESTOR", "only a DNS name has names below it")
    now = context.clock.now()
    principal = principal_of(account)
    scope = Scope(name, subdomains=subdomains)
    violations = tuple(_name_violations(rules, principal, profile, name, scope, "/identifier"))
    if violations:
        raise _rejected(violations)
    epoch = to_epoch(now)
    times = Times(epoch, to_epoch(now + rules.settings.order_lifetime))
    with context.database.write() as unit:
        spend_order(unit, rules.settings.limits, account.id, [OrderName(name)], epoch, is_free=False)
        plan = plan_scopes(unit, account, profile, [scope], times)
        authorizations.insert_authorizations(unit, plan.new)
        found = authorizations.find_authorization(unit.connection, plan.ids[0], epoch)
        assert found is not None
        if plan.reused:
            return found
        new = plan.new[0]
        data = {"account": account.id, "authorization": new.id, "identifier": str(name)}
        unit.commit(context.event("authorization.created", actor_of(principal), data))
    return found


def find_order(context: Context, account: Account, order_id: str) -> Order:
    """An order of this account.

    Raises:
        CaError: not_found, `ACME-UNKNOWN`, also for what is somebody else's; unavailable.
    """
    with context.database.read() as connection:
        found = orders.find_order(connection, order_id, to_epoch(context.clock.now()))
    if found is None or found.account_id != account.id:
        raise refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", "this account has no such order")
    return found


def list_orders(context: Context, account: Account, *, after: str | None, limit: int) -> list[str]:
    """The ids of an account's orders that are not invalid, oldest first."""
    with context.database.read() as connection:
        now = to_epoch(context.clock.now())
        return orders.list_order_ids(connection, account.id, after=after, limit=limit, now=now)


def _judge(rules: OrderRules, principal: Principal, profile: Profile, new: NewOrder, now: datetime) -> None:
    violations: list[Violation] = []
    for index, name in enumerate(new.names):
        pointer = f"/identifiers/{index}"
        violations += _ancestor_violations(name, pointer)
        scope = needed_scope(name)
        violations += _name_violations(rules, principal, profile, name.identifier, scope, pointer)
    identifiers = frozenset(name.identifier for name in new.names)
    violations += [
        Violation(each.rule_id, each.detail, "/identifiers")
        for each in count_violations(identifiers, profile.names, rules.policies.site.names)
    ]
    if violations:
        raise _rejected(tuple(violations))
    issuer = rules.issuers.current().certificate
    broken = judge_validity(profile.validity, issuer, now, new.not_before, new.not_after)[2]
    if broken:
        raise CaError(Kind.POLICY_REFUSED, broken[0].detail, violations=tuple(broken))


def _ancestor_violations(name: OrderName, pointer: str) -> Iterator[Violation]:
    """RFC 9444 §4.2: an ancestor is a DNS name above the one that is ordered."""
    if name.ancestor is None:
        return
    base = name.identifier.value.removeprefix("*.")
    if name.identifier.type is not IdentifierType.DNS or not base.endswith(f".{name.ancestor}"):
        yield Violation("ACME-ANCESTOR", f"{name.ancestor} is not above {name.identifier.value}", pointer)


def _name_violations(
    rules: OrderRules,
    principal: Principal,
    profile: Profile,
    identifier: Identifier,
    scope: Scope,
    pointer: str,
) -> Iterator[Violation]:
    if identifier.type not in _TYPES:
        yield Violation("ACME-IDENTIFIER-TYPE", "names of type dns and ip can be proven, no others", pointer)
        return
    for each in one_name_violations(identifier, profile.names, rules.policies.site.names):
        yield Violation(each.rule_id, each.detail, pointer)
    if "*" not in principal.names and not any(matches(identifier, each) for each in principal.names):
        yield Violation(
            "ACME-BINDING", f"the external account key does not allow the name {identifier}", pointer
        )
    if not usable_challenges(scope, profile.acme.challenges):
        yield Violation(
            "ACME-CHALLENGES", f"{profile.name} allows no challenge that could prove {identifier}", pointer
        )


def _rejected(violations: tuple[Violation, ...]) -> CaError:
    count = len(violations)
    detail = violations[0].detail if count == 1 else f"{count} rules refuse these names; each is listed"
    return CaError(Kind.REJECTED_IDENTIFIER, detail, violations=violations)


def _stored(
    rules: OrderRules,
    account: Account,
    profile: Profile,
    new: NewOrder,
    replaces: str | None,
    now: datetime,
) -> StoredOrder:
    return StoredOrder(
        id=new_id(now),
        account_id=account.id,
        profile=profile.name,
        status="pending",
        identifiers=names_text(new.names),
        not_before=None if new.not_before is None else to_epoch(new.not_before),
        not_after=None if new.not_after is None else to_epoch(new.not_after),
        created_at=to_epoch(now),
        expires_at=to_epoch(now + rules.settings.order_lifetime),
        replaces=replaces,
        counted=1,
        event_id=new_id(now),
    )
