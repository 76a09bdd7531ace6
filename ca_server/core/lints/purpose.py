"""The purposes are the profile's: none added, and never all of them lost (R7)."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.lints.inspected import Inspected
from ca_server.core.profile_words import purpose_oid

RULE = "HOUSE-PURPOSE"


def check(inspected: Inspected) -> str | None:
    """Why extendedKeyUsage is not the profile's, or None."""
    found = inspected.extension(x509.ExtendedKeyUsage)
    expected = {purpose_oid(word) for word in inspected.fields.profile.extensions.extended_key_usage}
    if (set(found.value) if found else set()) != expected:
        return "extendedKeyUsage is not what the profile gives"
    if not expected and not inspected.fields.profile.extensions.ca:
        return "an end-entity certificate without extendedKeyUsage is good for anything"
    return None
