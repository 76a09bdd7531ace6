"""Whether the validities of a script fit into each other on the day of the ceremony."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from ca_server.core.document import refuse_all
from ca_server.core.errors import Violation
from ceremony.script import Script
from ceremony.validity import Period, period_of

# Nobody asks for the status of a delegated signer (id-pkix-ocsp-nocheck), so only its end ends a theft.
MAX_RESPONDER_LIFETIME = timedelta(days=366)
# A root's CRL may be a year old at most (CA/Browser Forum BR 7.2, good practice inside a house too).
MAX_ROOT_CRL_LIFETIME = timedelta(days=366)


def check_validities(script: Script, now: datetime) -> None:
    """Pass a script whose certificates outlive today and stay inside their issuers.

    Raises:
        CaError: malformed, all that is wrong at once.
    """
    violations = tuple(_validities(script, now))
    if violations:
        raise refuse_all("script", violations)


def _validities(script: Script, now: datetime) -> Iterator[Violation]:
    root = period_of(script.root, now)
    yield from _usable("/root", root, now)
    issuing: dict[str, Period] = {}
    for index, authority in enumerate(script.issuing):
        period = issuing[authority.id] = period_of(authority, now)
        yield from _usable(f"/issuing/{index}", period, now)
        yield from _inside(f"/issuing/{index}", period, root)
    for index, responder in enumerate(script.responders):
        period = period_of(responder, now)
        yield from _usable(f"/responders/{index}", period, now)
        yield from _inside(f"/responders/{index}", period, issuing[responder.authority])
        if period.not_after - period.not_before > MAX_RESPONDER_LIFETIME:
            detail = f"an OCSP signer lives {MAX_RESPONDER_LIFETIME.days} days at most"
            yield Violation("CEREMONY-RESPONDER-LIFETIME", detail, f"/responders/{index}")
    if script.root.crl.lifetime > MAX_ROOT_CRL_LIFETIME:
        detail = f"a root's CRL lives {MAX_ROOT_CRL_LIFETIME.days} days at most"
        yield Violation("CEREMONY-CRL-LIFETIME", detail, "/root/crl/lifetime")
    if not root.holds(Period(now, now + script.root.crl.lifetime)):
        detail = f"the first CRL must lie inside the root's validity, {root}"
        yield Violation("CEREMONY-CRL-LIFETIME", detail, "/root/crl/lifetime")


def _usable(pointer: str, period: Period, now: datetime) -> Iterator[Violation]:
    if period.not_after <= max(now, period.not_before):
        yield Violation("CEREMONY-VALIDITY-PAST", f"the validity {period} is over or upside down", pointer)


def _inside(pointer: str, period: Period, issuer: Period) -> Iterator[Violation]:
    if not issuer.holds(period):
        detail = f"the validity {period} is not inside its issuer's, {issuer}"
        yield Violation("CEREMONY-VALIDITY-ISSUER", detail, pointer)
