"""The purposes are the profile's: none added, and never all of them lost (R7)."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.lints.inspected import Inspected
from ca_server.core.profile_words import KEY_USAGES, purpose_oid

RULE = "HOUSE-PURPOSE"


def check(inspected: Inspected) -> str | None:
    """Why keyUsage or extendedKeyUsage is not the profile's, or None."""
    rules = inspected.fields.profile.extensions
    usage = inspected.extension(x509.KeyUsage)
    used = {word for word in KEY_USAGES if usage and getattr(usage.value, word)}
    if used != set(rules.key_usage):
        return "keyUsage is not what the profile gives"
    found = inspected.extension(x509.ExtendedKeyUsage)
    expected = {purpose_oid(word) for word in rules.extended_key_usage}
    if (set(found.value) if found else set()) != expected:
        return "extendedKeyUsage is not what the profile gives"
    if not expected and not rules.ca:
        return "an end-entity certificate without extendedKeyUsage is good for anything"
    return None
