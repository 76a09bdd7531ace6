"""The life of a certificate is the one granted, within the profile's bounds and its authority's life."""

from __future__ import annotations

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-VALIDITY"


def check(inspected: Inspected) -> str | None:
    """Why the times are wrong, or None."""
    certificate, authority = inspected.certificate, inspected.issuer.certificate
    fields, rules = inspected.fields, inspected.fields.profile.validity
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if (begin, end) != (fields.not_before, fields.not_after) or begin >= end:
        return "the times are not those that were granted"
    if begin < authority.not_valid_before_utc or end > authority.not_valid_after_utc:
        return "the certificate would outlive its authority"
    if end - begin >= rules.max + rules.backdate:
        return "the certificate lives longer than the profile allows"
    return None
