"""Renewal information (RFC 9773): when to renew a certificate, and which order does.

Everybody may ask, and is told at once to renew what is revoked, what stands on something revoked, what has
a key that others may hold, and what an officer flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ca_server.core.acme.certid import certid_of, parse_certid
from ca_server.core.acme.renewal import poll_interval, suggested_window
from ca_server.core.acme.resources import Account, Status
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.identifiers import Identifier
from ca_server.services.context import Context
from ca_server.store import inventory
from ca_server.store.inventory import CertificateRecord
from ca_server.store.renewals import Urgency, find_named, find_urgency
from ca_server.store.replacements import find_replacement, give_up_failed


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """The window in which to renew, whole seconds; ask again after `retry_after` seconds."""

    start: datetime
    end: datetime
    explanation_url: str | None
    retry_after: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The certificate that an order replaces; `in_time` if it does so when its owner is told to.

    Only with no other names is it a renewal: such an order is free of limits (RFC 9773 §5). At any time, an
    account could be replacing for ever what was just made.
    """

    certificate_id: str
    in_time: bool


def renewal_info(context: Context, certid: str) -> RenewalInfo:
    """When the certificate that `certid` names should be renewed (RFC 9773 §4.2).

    Raises:
        CaError: malformed, `ACME-CERTID`; not_found, `ACME-CERTID-UNKNOWN`; unavailable.
    """
    wanted = parse_certid(certid)
    now = context.clock.now()
    with context.database.read() as connection:
        found = find_named(connection, wanted.key_identifier, wanted.serial_number, now)
        if found is None:
            raise refuse(Kind.NOT_FOUND, "ACME-CERTID-UNKNOWN", "no such certificate was issued here")
        urgency = find_urgency(connection, found)
    start, end = _window(found, urgency, now)
    return RenewalInfo(
        start=start,
        end=end,
        explanation_url=urgency.flag.explanation_url if urgency.flag else None,
        retry_after=poll_interval(found.not_before, found.not_after),
    )


def _window(found: CertificateRecord, urgency: Urgency, now: datetime) -> tuple[datetime, datetime]:
    serial_number = int(found.serial_number, 16)
    return suggested_window(found.not_before, found.not_after, serial_number, now, forced=urgency.forced)


def find_replaced(
    context: Context, account: Account, certid: str, identifiers: frozenset[Identifier]
) -> Replaced:
    """The certificate that a new order of these names may say it replaces (RFC 9773 §5).

    Raises:
        CaError: malformed, `ACME-CERTID`, or `ACME-REPLACES`: this account has no such certificate, or it
            has none of the names; conflict, `ACME-REPLACED`; unavailable.
    """
    wanted = parse_certid(certid)
    now = context.clock.now()
    epoch = to_epoch(now)
    names = {str(each) for each in identifiers}
    with context.database.read() as connection:
        found = find_named(connection, wanted.key_identifier, wanted.serial_number, now)
        if found is None or found.principal_id != f"account:{account.id}":
            raise _not_to_be_replaced("this account has no such certificate")
        if not names.intersection(found.names):
            raise _not_to_be_replaced("the certificate to be replaced has none of the names of this order")
        replacement = find_replacement(connection, found.id, epoch)
        begin, _ = _window(found, find_urgency(connection, found), now)
    if replacement is not None and replacement.status is not Status.INVALID:
        raise refuse(Kind.CONFLICT, "ACME-REPLACED", "another order replaces this certificate already")
    if replacement is not None:
        with context.database.write() as unit:
            if give_up_failed(unit, found.id, epoch):
                unit.commit_unaudited("an order that could become nothing any more says so")
    return Replaced(found.id, in_time=begin <= now and names.issubset(found.names))


def certid_text(context: Context, certificate_id: str) -> str | None:
    """How a certificate of ours is named in `replaces`; None where it does not say who issued it."""
    with context.database.read() as connection:
        found = inventory.find_certificate(connection, certificate_id)
    named = certid_of(x509.load_der_x509_certificate(found.der)) if found else None
    return None if named is None else str(named)


def _not_to_be_replaced(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-REPLACES", detail, pointer="/replaces")
