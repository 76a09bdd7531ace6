"""The certified key is the one whose holder was proven, and its identifier is its own."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-KEY"


def check(inspected: Inspected) -> str | None:
    """Why the key is another, or None."""
    granted = inspected.fields.public_key
    found = inspected.extension(x509.SubjectKeyIdentifier)
    if inspected.certificate.public_key() != granted:
        return "the certified key is not the CSR's"
    if found is None or found.value != x509.SubjectKeyIdentifier.from_public_key(granted):
        return "subjectKeyIdentifier is not this key's"
    return None
