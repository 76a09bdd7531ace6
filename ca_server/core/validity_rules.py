"""From when to when: what was asked for, within the profile's bounds and the issuer's own life."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from ca_server.core.clock import to_text
from ca_server.core.errors import Violation
from ca_server.core.profile import ValidityRules

_SECOND = timedelta(seconds=1)


def judge_validity(
    rules: ValidityRules,
    issuer: x509.Certificate,
    now: datetime,
    not_before: datetime | None,
    not_after: datetime | None,
) -> tuple[datetime, datetime, list[Violation]]:
    """The first and last second of the certificate's life, and every rule that the asked times break.

    Lengths are measured from now, or from a later `not_before`. Both ends belong to the life
    (RFC 5280 §4.1.2.5), so a life of one day ends a second before the day is over. Without a time asked
    for, the default is cut where the issuer ends; a time asked for beyond it is refused. Any aware times may
    be asked for.
    """
    violations: list[Violation] = []
    earliest = max(now - rules.backdate, issuer.not_valid_before_utc)
    begin = earliest
    if not_before is not None:
        begin = not_before.replace(microsecond=0)
        latest = now + rules.backdate
        if not earliest <= begin <= latest:
            accepted = f"{to_text(earliest)} to {to_text(latest)}"
            violations.append(_refused("PROFILE-VALIDITY-BEGIN", f"not_before may be {accepted}"))
            # The end is judged all the same, but nothing is added to a time as far off as the year 9999.
            begin = earliest
    origin = max(begin, now)
    end = min(origin + rules.default - _SECOND, issuer.not_valid_after_utc)
    if not_after is not None:
        end = not_after.replace(microsecond=0)
        longest = origin + rules.max - _SECOND
        if end > longest:
            violations.append(
                _refused("PROFILE-VALIDITY-MAX", f"not_after may be {to_text(longest)} at most")
            )
        if end <= origin:
            violations.append(_refused("PROFILE-VALIDITY-PAST", "not_after must lie in the future"))
    if end > issuer.not_valid_after_utc or issuer.not_valid_after_utc <= origin:
        limit = to_text(issuer.not_valid_after_utc)
        violations.append(
            _refused("PROFILE-VALIDITY-ISSUER", f"the issuing authority itself ends at {limit}")
        )
    return begin, end, violations


def _refused(rule_id: str, detail: str) -> Violation:
    return Violation(rule_id, detail, "/not_before" if rule_id.endswith("BEGIN") else "/not_after")
