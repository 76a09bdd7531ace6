"""Revoke a certificate, put it on hold, take it off hold: one transaction each, event and CRL order included.

A role opens the door; a requester must have been the one to whom this very certificate was issued (R4).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ca_server.core.audit.record import Event
from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import from_epoch, to_epoch, to_text
from ca_server.core.crl import REASONS
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.roles import Action, permits
from ca_server.services import metrics
from ca_server.services.context import Context, actor_of
from ca_server.services.publish_crl import order_crl
from ca_server.store import inventory, revocations
from ca_server.store.authorities import list_authorities
from ca_server.store.inventory import CertificateRecord
from ca_server.store.revocations import StoredRevocation
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Revocation:
    """What was put down: `reason` is the word of RFC 5280 §5.3.1."""

    certificate_id: str
    authority_id: str
    serial_number: str
    revoked_at: datetime
    reason: str
    invalidity_date: datetime | None


def revoke_certificate(
    context: Context,
    principal: Principal,
    certificate_id: str,
    reason: str,
    invalidity_date: datetime | None = None,
) -> Revocation:
    """Revoke a certificate for ever, or put it on hold (`certificateHold`); a hold may be made final.

    A CRL is due at once, OCSP answers change within a second, and with `keyCompromise` no certificate is
    ever issued for the public key again.

    Raises:
        CaError: malformed, `REVOKE-REASON`, `REVOKE-INVALIDITY-DATE`; not_found, `REVOKE-UNKNOWN`, also for
            what is somebody else's; forbidden, `REVOKE-ROLE`, `REVOKE-AUTHORITY`; already_revoked,
            `REVOKE-ALREADY`; unavailable.
    """
    found = _find(context, principal, certificate_id, Action.REVOKE_CERTIFICATE)
    try:
        _check_subject(principal, found, Action.REVOKE_CERTIFICATE)
        return revoke_found(context, principal, found, reason, invalidity_date)
    except CaError as error:
        _record_refusal(context, principal, found, error)
        if "REVOKE-OWNER" in error.rule_ids:
            # Nobody learns what exists by asking; the log knows better.
            raise _unknown() from error
        raise


def release_certificate(context: Context, principal: Principal, certificate_id: str) -> None:
    """Take a certificate off hold, so that it is good again.

    Raises:
        CaError: not_found, `REVOKE-UNKNOWN`; forbidden, `REVOKE-ROLE`, `REVOKE-AUTHORITY`; conflict,
            `REVOKE-NOT-HELD`; unavailable.
    """
    found = _find(context, principal, certificate_id, Action.RELEASE_CERTIFICATE)
    try:
        _check_subject(principal, found, Action.RELEASE_CERTIFICATE)
        _release(context, principal, found)
    except CaError as error:
        _record_refusal(context, principal, found, error)
        raise


def _find(context: Context, principal: Principal, certificate_id: str, action: Action) -> CertificateRecord:
    with context.database.read() as connection:
        found = inventory.find_certificate(connection, certificate_id)
        authorities = [] if found else list_authorities(connection)
    if found is not None:
        return found
    if any(hashlib.sha256(each.certificate_der).hexdigest() == certificate_id for each in authorities):
        error = refuse(
            Kind.FORBIDDEN, "REVOKE-AUTHORITY", "an authority's own certificate is revoked by a ceremony"
        )
    else:
        error = _unknown()
    data = {"rule_ids": list(error.rule_ids), "action": action.value}
    with context.database.write() as unit:
        unit.commit(context.event("access.refused", actor_of(principal), data, outcome="failure"))
    raise error


def _unknown() -> CaError:
    return refuse(Kind.NOT_FOUND, "REVOKE-UNKNOWN", "there is no such certificate")


def _check_subject(principal: Principal, found: CertificateRecord, action: Action) -> None:
    if not permits(principal.role, action):
        raise refuse(Kind.FORBIDDEN, "REVOKE-ROLE", f"the role {principal.role} does not allow {action}")
    if principal.role is Role.REQUESTER and principal.id != found.principal_id:
        raise refuse(Kind.FORBIDDEN, "REVOKE-OWNER", "this certificate was issued to somebody else")


def _check_reason(reason: str) -> None:
    if reason not in REASONS:
        raise refuse(
            Kind.MALFORMED, "REVOKE-REASON", f"a reason is one of {', '.join(REASONS)}", pointer="/reason"
        )


def _check_invalidity_date(invalidity_date: datetime | None, now: datetime) -> None:
    if invalidity_date is not None and invalidity_date > now:
        raise refuse(
            Kind.MALFORMED,
            "REVOKE-INVALIDITY-DATE",
            "an invalidity date lies in the past",
            pointer="/invalidity_date",
        )


def revoke_found(
    context: Context,
    principal: Principal,
    found: CertificateRecord,
    reason: str,
    invalidity_date: datetime | None = None,
) -> Revocation:
    """Revoke a certificate for somebody who may: every protocol judges that, and all end here (R14).

    Raises:
        CaError: malformed, `REVOKE-REASON`, `REVOKE-INVALIDITY-DATE`; already_revoked, `REVOKE-ALREADY`;
            unavailable.
    """
    now = context.clock.now()
    _check_reason(reason)
    _check_invalidity_date(invalidity_date, now)
    data = {"authority": found.authority_id, "serial": found.serial_number, "reason": reason}
    if invalidity_date is not None:
        data["invalidity_date"] = to_text(invalidity_date)
    event = context.event("revoke.done", actor_of(principal), data)
    stored = StoredRevocation(
        authority_id=found.authority_id,
        serial_number=found.serial_number,
        revoked_at=to_epoch(now),
        reason=reason,
        invalidity_date=None if invalidity_date is None else to_epoch(invalidity_date),
        not_after=to_epoch(found.not_after),
        event_id=event.event_id,
    )
    with context.database.write() as unit:
        counts_from = revocations.insert_revocation(unit, stored)
        if counts_from is None:
            raise refuse(Kind.ALREADY_REVOKED, "REVOKE-ALREADY", "this certificate is revoked already")
        more: tuple[Event, ...] = ()
        if reason == x509.ReasonFlags.key_compromise.value:
            key = {"spki_sha256": found.spki_sha256}
            banned = context.event("key.compromised", actor_of(principal), key, ref=event.event_id)
            more = _ban_key(unit, found.spki_sha256, banned)
        _spread(unit, found.authority_id, now)
        unit.commit(event, *more)
    metrics.REVOKED.labels(reason).inc()
    return Revocation(
        certificate_id=found.id,
        authority_id=found.authority_id,
        serial_number=found.serial_number,
        revoked_at=from_epoch(counts_from),
        reason=reason,
        invalidity_date=invalidity_date,
    )


def _ban_key(unit: UnitOfWork, spki_sha256: str, event: Event) -> tuple[Event, ...]:
    """Put the key on the compromise list; the event to commit, or none when it is there already."""
    is_new = revocations.insert_compromised_key(
        unit,
        spki_sha256,
        created_at=to_epoch(event.time),
        reason=x509.ReasonFlags.key_compromise.value,
        event_id=event.event_id,
    )
    return (event,) if is_new else ()


def _release(context: Context, principal: Principal, found: CertificateRecord) -> None:
    now = context.clock.now()
    data = {"authority": found.authority_id, "serial": found.serial_number}
    event = context.event("revoke.released", actor_of(principal), data)
    with context.database.write() as unit:
        if not revocations.release_hold(
            unit,
            found.authority_id,
            found.serial_number,
            released_at=to_epoch(now),
            event_id=event.event_id,
        ):
            raise refuse(Kind.CONFLICT, "REVOKE-NOT-HELD", "this certificate is not on hold")
        _spread(unit, found.authority_id, now)
        unit.commit(event)


def _spread(unit: UnitOfWork, authority_id: str, now: datetime) -> None:
    """Have the change reach relying parties: OCSP drops its answers, a CRL is due now."""
    revocations.raise_watermark(unit)
    order_crl(unit, authority_id, now)


def _record_refusal(context: Context, principal: Principal, found: CertificateRecord, error: CaError) -> None:
    """Say in the log who was turned away; a database that is away turned nobody away."""
    if error.rule_ids:
        with context.database.write() as unit:
            unit.commit(refusal_event(context, principal, found, error))


def refusal_event(context: Context, principal: Principal, found: CertificateRecord, error: CaError) -> Event:
    """Who was turned away, from what, and why."""
    data = {
        "authority": found.authority_id,
        "serial": found.serial_number,
        "rule_ids": list(error.rule_ids),
    }
    return context.event("revoke.refused", actor_of(principal), data, outcome="failure")
