"""Whether the validities of a script fit into each other on the day of the ceremony.

The steps compare with the certificates themselves; this is said before any device is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ca_server.core.document import refuse_all
from ca_server.core.errors import Violation
from ceremony.script import Script
from ceremony.validity import Period, period_of


def check_validities(script: Script, now: datetime) -> None:
    """Pass a script whose certificates outlive today and stay inside their issuers.

    Raises:
        CaError: malformed, all that is wrong at once.
    """
    violations = tuple(_validities(script, now))
    if violations:
        raise refuse_all("script", violations)


def _validities(script: Script, now: datetime) -> Iterator[Violation]:
    periods = {
        name: period_of(profile, now) for name, profile in script.profiles.items() if profile.type != "link"
    }
    for name, period in periods.items():
        pointer = f"/profiles/{name}"
        if period.not_after <= max(now, period.not_before):
            detail = f"the validity {period} is over or upside down"
            yield Violation("CEREMONY-VALIDITY-PAST", detail, pointer)
        issuer = periods.get(script.profiles[name].issuer or "")
        if issuer is not None and not issuer.holds(period):
            detail = f"the validity {period} is not inside its issuer's, {issuer}"
            yield Violation("CEREMONY-VALIDITY-ISSUER", detail, pointer)
    for name, crl in script.crls.items():
        issuer = periods.get(crl.issuer)
        if issuer is not None and not issuer.holds(Period(now, now + crl.lifetime)):
            detail = f"the CRL must lie inside its issuer's validity, {issuer}"
            yield Violation("CEREMONY-CRL-LIFETIME", detail, f"/crls/{name}/lifetime")
