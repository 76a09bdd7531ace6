"""ACME's completion step: an order whose names are all proven becomes an authorization for the gate (R1, R5).

The order is claimed in the transaction that stores the intent, and only while each of its authorizations
is valid: of a hundred clients that finalize at once, one gets past (R36).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ca_server.core.acme.coverage import covers, is_proven_by, proven_names
from ca_server.core.acme.resources import Account, NameAuthorization, Order, Status
from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.authorization import Authorization, Mint
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.core.csr import Csr, named_by_subject, parse_csr
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.core.jose import parse_jwk
from ca_server.core.profile import Profile
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.accounts import principal_of, require_may_order
from ca_server.services.acme.caa import CaaAsk
from ca_server.services.acme.claims import OrderClaim
from ca_server.services.acme.orders import find_order
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.context import Context
from ca_server.services.issue import Gate
from ca_server.store import authorizations, orders
from ca_server.store.orders import Refusal

# How long CAA records may have been looked at before a certificate is issued (RFC 8659 §4, as TTL and 8 h).
CAA_MAX_AGE = 8 * 3600
# CSRs that may be refused for one order, and how long the client is told to stay away then.
MAX_REFUSED = 20
RETRY_AFTER = 3600

# Raises CaError where CAA forbids one of the names.
CaaCheck = Callable[[Sequence[CaaAsk]], None]

# What a gate's refusal of a CSR means to an ACME client: another CSR would do (RFC 8555 §7.4).
_ABOUT_CSR = frozenset({Kind.REJECTED_IDENTIFIER, Kind.POLICY_REFUSED, Kind.BAD_PUBLIC_KEY})


@dataclass(frozen=True, slots=True)
class Completion:
    """What finalizing needs: the gate, this protocol's mint, the profiles, and a look at CAA records."""

    context: Context
    gate: Gate
    mint: Mint
    policies: PolicyStore
    limits: AcmeLimits
    check_caa: CaaCheck


def finalize(
    completion: Completion, account: Account, account_url: str, order_id: str, csr_der: bytes
) -> Order:
    """The order after its certificate was asked for: valid, or processing where signing takes long.

    Asking again with the same CSR answers the order as it is. A refused CSR leaves the order ready.

    Raises:
        CaError: not_found, `ACME-UNKNOWN`; not_ready, `ACME-ORDER-NOT-READY`; bad_csr or bad_public_key with
            every rule that the CSR breaks, `ACME-ACCOUNT-KEY`; forbidden, the account may not have the
            profile (any more), `ACME-CAA`; rate_limited, `ACME-LIMIT-FINALIZE`; unavailable, nothing was
            begun.
    """
    context = completion.context
    order = find_order(context, account, order_id)
    if order.status is not Status.READY:
        return _again(context, order, csr_der)
    _require_patience(context, order)
    try:
        request = _prepare(completion, account, account_url, order, csr_der)
    except CaError as refusal:
        _note(context, order, refusal)
        raise
    try:
        completion.gate.issue(request)
    except CaError as error:
        # The intent may be stored although no answer came in time: then it will be signed.
        moved = find_order(context, account, order_id)
        if moved.status in {Status.PROCESSING, Status.VALID}:
            return _again(context, moved, csr_der)
        if error.kind in _ABOUT_CSR:
            raise CaError(Kind.BAD_CSR, error.detail, violations=error.violations) from error
        raise
    return find_order(context, account, order_id)


def _again(context: Context, order: Order, csr_der: bytes) -> Order:
    """The order as it is, for whoever sends the CSR that it is finalized with."""
    if order.status in {Status.PROCESSING, Status.VALID}:
        with context.database.read() as connection:
            if orders.is_finalized_with(connection, order.id, csr_der):
                return order
    raise refuse(Kind.NOT_READY, "ACME-ORDER-NOT-READY", f"the order is {order.status}, not ready")


def _prepare(
    completion: Completion, account: Account, account_url: str, order: Order, csr_der: bytes
) -> CertificateRequest:
    """What the gate is asked for: this CSR, by an account that may, for names that are proven."""
    csr = named_by_subject(parse_csr(csr_der))
    profile = completion.policies.profile(order.profile)
    require_may_order(completion.context, account, profile)
    if csr.spki_sha256 == parse_jwk(account.jwk).spki_sha256:
        raise refuse(Kind.BAD_CSR, "ACME-ACCOUNT-KEY", "an account's own key is never certified (§11.1)")
    counted = order.identifiers if order.counted else frozenset()
    return CertificateRequest(
        csr,
        _authorize(completion, account, account_url, profile, order, csr),
        not_before=None if order.not_before is None else from_epoch(order.not_before),
        not_after=None if order.not_after is None else from_epoch(order.not_after),
        claim=OrderClaim(order.id, account.thumbprint, counted, completion.limits),
    )


def _note(context: Context, order: Order, refusal: CaError) -> None:
    """Keep the newest refusal that never reached the gate, for whoever asks why there is no certificate."""
    now = to_epoch(context.clock.now())
    with context.database.write() as unit:
        orders.note_refusal(unit, order.id, Refusal(now, refusal.detail, refusal.rule_ids))
        unit.commit_unaudited("nothing was asked of the gate; the order shows what was wrong")


def _require_patience(context: Context, order: Order) -> None:
    """Each refused CSR is kept with an event for ever; nobody needs many tries for one order."""
    with context.database.read() as connection:
        refused = orders.count_refused(connection, order.id)
    if refused >= MAX_REFUSED:
        detail = f"{refused} CSRs were refused for this order; make another order, with a CSR for its names"
        violations = refuse(Kind.RATE_LIMITED, "ACME-LIMIT-FINALIZE", detail).violations
        raise CaError(Kind.RATE_LIMITED, detail, violations=violations, retry_after=RETRY_AFTER)


def _authorize(
    completion: Completion, account: Account, account_url: str, profile: Profile, order: Order, csr: Csr
) -> Authorization:
    """Seal permission for exactly the names that evidence stands for, each counted by itself (R11)."""
    context = completion.context
    now = to_epoch(context.clock.now())
    with context.database.read() as connection:
        found = authorizations.list_authorizations(connection, order.authorization_ids, now)
    proven = proven_names(order.identifiers, found, profile.acme.challenges)
    if proven != order.identifiers:
        raise refuse(Kind.NOT_READY, "ACME-ORDER-NOT-READY", "not every name of the order is proven")
    if csr.identifiers == proven:
        # A CSR with other names is refused by the gate; nobody's DNS is asked for it.
        _look_at_caa(completion, account_url, profile, order, found, now)
    return completion.mint.authorize(principal_of(account), profile.name, proven)


def _look_at_caa(
    completion: Completion,
    account_url: str,
    profile: Profile,
    order: Order,
    found: list[NameAuthorization],
    now: int,
) -> None:
    """Ask again where the answer is old, and for names that were proven by one above them (RFC 9444)."""
    # A name's own authorization before one for all names below another, whose CAA says nothing of it.
    found = sorted(found, key=lambda each: each.subdomains)
    asks, renewed = [], []
    for identifier in sorted(order.identifiers):
        authorization = next(
            each for each in found if covers(each, identifier) and is_proven_by(each, profile.acme.challenges)
        )
        is_fresh = now - (authorization.caa_checked_at or 0) <= CAA_MAX_AGE
        if identifier.type is IdentifierType.IP or (is_fresh and not authorization.subdomains):
            continue
        challenge = next(each for each in authorization.challenges if each.status is Status.VALID)
        base = identifier.value.removeprefix("*.")
        name = Identifier(IdentifierType.DNS, base)
        asks.append(CaaAsk(account_url, challenge.type, name, base != identifier.value))
        if not authorization.subdomains:
            renewed.append(authorization.id)
    if asks:
        completion.check_caa(asks)
    if renewed:
        with completion.context.database.write() as unit:
            authorizations.note_caa_check(unit, renewed, now)
            unit.commit_unaudited("that CAA still allows a name; the issuance that follows has events")
