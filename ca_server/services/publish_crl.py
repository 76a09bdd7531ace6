"""Publish CRLs when they are due: by the clock, and within seconds of a revocation.

The order is that of every use of a key: number and digest are stored with `crl.intent`, then the key signs
with no transaction open, then the CRL is stored with `crl.done`. A crash between leaves a number without a
CRL, which the next run gives up with `crl.abandoned`. What is out stays out until a newer one is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cryptography import x509

from ca_server.core.assemble import Unsigned, assemble_crl
from ca_server.core.audit.record import Event
from ca_server.core.clock import from_epoch, to_epoch, to_text
from ca_server.core.crl import CrlIssuer, build_crl, representative, require_signed
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.lints import blocking
from ca_server.core.lints.pkix import lint_crl
from ca_server.core.signatures import SignatureAlgorithm
from ca_server.hsm.port import Signer
from ca_server.services.context import Context, new_id, process_actor
from ca_server.store import crls, due_work, revocations
from ca_server.store.authorities import find_authority, list_authorities
from ca_server.store.crls import CrlIntent, CrlRecord
from ca_server.store.due_work import Lease
from ca_server.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

WORK = "crl.publish"
LEASE_SECONDS = 30

_ACTOR = process_actor("worker")


@dataclass(frozen=True, slots=True)
class CrlSettings:
    """How often a CRL is made and how long it may be used; the difference is the time to mend an outage."""

    interval: timedelta = timedelta(hours=1)
    validity: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        if not timedelta() < self.interval < self.validity:
            raise ValueError("a CRL must be made anew before it ends")


@dataclass(frozen=True, slots=True)
class CrlOutcome:
    """What became of one authority's CRL: its number, or why there is none yet."""

    authority_id: str
    crl_number: int | None
    error: CaError | None


@dataclass(frozen=True, slots=True)
class _Draft:
    """A CRL before its number is taken."""

    issuer: CrlIssuer
    unsigned: Unsigned
    intent: CrlIntent
    event: Event


def order_crl(unit: UnitOfWork, authority_id: str, now: datetime) -> None:
    """Have an authority's CRL made at once; part of the caller's transaction."""
    due_work.schedule(unit, WORK, authority_id, to_epoch(now))


def order_all_crls(context: Context) -> tuple[str, ...]:
    """Have every authority whose key is at hand publish a CRL now; the ids of those authorities.

    Raises:
        CaError: unavailable, the database is away.
    """
    with context.database.write() as unit:
        ids = tuple(
            each.id
            for each in list_authorities(unit.connection)
            if each.key_uri is not None and each.state == "active"
        )
        for authority_id in ids:
            order_crl(unit, authority_id, context.clock.now())
        unit.commit_unaudited("an order for work; the CRL itself has its events")
    return ids


def publish_due_crls(
    context: Context, signers: Mapping[str, Signer], settings: CrlSettings
) -> tuple[CrlOutcome, ...]:
    """Publish what is due of the authorities whose signers are given; with nothing due it only reads.

    Call it about once a second, from any number of workers. An authority that never published is due now.
    What fails is tried again later, with growing pauses; the outcome says why.

    Raises:
        CaError: unavailable, the database is away.
        SignatureUnknown: the token may or may not have signed; the process must end. The number is lost.
    """
    return tuple(
        _publish_leased(context, signers[lease.subject], settings, lease)
        for lease in _take_due(context, signers)
    )


def _take_due(context: Context, signers: Mapping[str, Signer]) -> list[Lease]:
    now = context.clock.now()
    with context.database.read() as connection:
        due = due_work.list_due(connection, WORK, signers.keys(), to_epoch(now))
    if not due.ready and not due.unknown:
        return []
    with context.database.write() as unit:
        for authority_id in due.unknown:
            order_crl(unit, authority_id, now)
        leases = due_work.take(
            unit,
            WORK,
            due.ready | due.unknown,
            owner=f"{context.node}/{new_id(now)}",
            now=to_epoch(now),
            seconds=LEASE_SECONDS,
        )
        unit.commit_unaudited("leases; what is done under them has its events")
    return leases


def _publish_leased(context: Context, signer: Signer, settings: CrlSettings, lease: Lease) -> CrlOutcome:
    try:
        number = _publish(context, signer, settings, lease)
    except CaError as error:
        log.warning("crl.failed", authority=lease.subject, reason=error.detail, rule_ids=error.rule_ids)
        with context.database.write() as unit:
            due_work.retry(unit, lease, now=to_epoch(context.clock.now()), error=error.detail)
            unit.commit_unaudited("the lease is given back, the work is still to do")
        return CrlOutcome(lease.subject, None, error)
    log.info("crl.published", authority=lease.subject)
    return CrlOutcome(lease.subject, number, None)


def _publish(context: Context, signer: Signer, settings: CrlSettings, lease: Lease) -> int:
    """The whole way of one CRL; its number."""
    _abandon_open(context, lease.subject)
    draft = _draft(context, signer, settings, lease.subject)
    number = draft.intent.crl_number
    with context.database.write() as unit:
        if not crls.take_number(unit, draft.intent):
            raise CaError(Kind.UNAVAILABLE, "another worker took this CRL number", retry_after=1)
        unit.commit(draft.event)
    try:
        der = assemble_crl(draft.unsigned.tbs, signer.sign(draft.unsigned.tbs, draft.issuer.algorithm))
        require_signed(der, draft.issuer)
    except CaError as error:
        _abandon(context, lease.subject, number, draft.event.event_id, error.detail)
        raise
    _store(context, settings, lease, draft, der)
    return number


def _abandon_open(context: Context, authority_id: str) -> None:
    """Give up the numbers that a crash left without outcome; under our lease nobody signs them now."""
    with context.database.read() as connection:
        left_behind = crls.open_intents(connection, authority_id)
    for crl_number, event_id in left_behind:
        _abandon(context, authority_id, crl_number, event_id, "the process ended before the CRL was stored")


def _abandon(context: Context, authority_id: str, crl_number: int, intent_event_id: str, reason: str) -> None:
    data = {"authority": authority_id, "crl_number": crl_number, "reason": reason}
    event = context.event("crl.abandoned", _ACTOR, data, ref=intent_event_id, outcome="failure")
    with context.database.write() as unit:
        if crls.abandon(unit, authority_id, crl_number, event_id=event.event_id):
            unit.commit(event)


def _draft(context: Context, signer: Signer, settings: CrlSettings, authority_id: str) -> _Draft:
    """Everything about the next CRL but its signature; nothing is written.

    Raises:
        CaError: internal, `CRL-KEY`, `CRL-LINT`; unavailable, `CRL-CLOCK`; not_found, `CRL-AUTHORITY`.
    """
    # Taken before the entries are read: whatever is revoked after them is revoked no earlier than this.
    this_update = context.clock.now()
    with context.database.read() as connection:
        authority = find_authority(connection, authority_id)
        published = crls.find_published(connection, authority_id)
        entries = revocations.list_entries(
            connection, authority_id, published.this_update if published else None
        )
    if authority is None:
        raise refuse(Kind.NOT_FOUND, "CRL-AUTHORITY", f"there is no authority {authority_id}")
    certificate = x509.load_der_x509_certificate(authority.certificate_der)
    if signer.public_key != certificate.public_key():
        raise refuse(Kind.INTERNAL, "CRL-KEY", f"the key given is not that of authority {authority_id}")
    _check_clock(published, this_update)
    issuer = CrlIssuer(certificate, SignatureAlgorithm(authority.signature_algorithm))
    number = authority.last_crl_number + 1
    period = (this_update, this_update + settings.validity)
    unsigned = build_crl(issuer, entries, number, *period)
    _check_lints(build_crl(issuer, representative(entries), number, *period))
    data = {"authority": authority_id, "crl_number": number, "tbs_sha256": unsigned.tbs_sha256}
    event = context.event("crl.intent", _ACTOR, data)
    intent = CrlIntent(
        authority_id=authority_id,
        crl_number=number,
        this_update=to_epoch(this_update),
        next_update=to_epoch(period[1]),
        entries=len(entries),
        tbs_sha256=unsigned.tbs_sha256,
        intent_event_id=event.event_id,
    )
    return _Draft(issuer, unsigned, intent, event)


def _check_clock(published: CrlRecord | None, now: datetime) -> None:
    """A CRL that looks older than the one before it would be refused, or worse, taken for the older one."""
    if published is not None and to_epoch(now) < published.this_update:
        last = to_text(from_epoch(published.this_update))
        raise refuse(
            Kind.UNAVAILABLE, "CRL-CLOCK", f"the clock says {to_text(now)}, but the last CRL is of {last}"
        )


def _check_lints(specimen: Unsigned) -> None:
    if broken := blocking(lint_crl(specimen.twin)):
        raise CaError(
            Kind.INTERNAL,
            "the CRL would break a lint: " + "; ".join(each.detail for each in broken),
            violations=(Violation("CRL-LINT", ", ".join(each.code for each in broken)),),
        )


def _store(context: Context, settings: CrlSettings, lease: Lease, draft: _Draft, der: bytes) -> None:
    """Publish: from this commit on the new CRL is the one that is out."""
    intent = draft.intent
    sha256 = hashlib.sha256(der).hexdigest()
    data = {
        "authority": intent.authority_id,
        "crl_number": intent.crl_number,
        "crl_sha256": sha256,
        "entries": intent.entries,
    }
    event = context.event("crl.done", _ACTOR, data, ref=draft.event.event_id)
    now = context.clock.now()
    with context.database.write() as unit:
        settled = crls.settle(
            unit,
            intent.authority_id,
            intent.crl_number,
            sha256=sha256,
            der=der,
            event_id=event.event_id,
        )
        if not settled:
            raise CaError(Kind.UNAVAILABLE, "this CRL took too long and was given up", retry_after=1)
        due_work.finish(unit, lease, now=to_epoch(now), next_at=to_epoch(now + settings.interval))
        unit.commit(event)
