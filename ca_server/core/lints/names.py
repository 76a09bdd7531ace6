"""The names in the bytes to be signed are exactly those authorized, as a set over all types (R5, R8)."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.identifiers import identifier_of
from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-NAMES"


def check(inspected: Inspected) -> str | None:
    """Why subjectAltName or subject differ from what was granted, or None."""
    fields = inspected.fields
    found = inspected.extension(x509.SubjectAlternativeName)
    names = [identifier_of(name) for name in found.value] if found else []
    if len(names) != len(set(names)) or set(names) != set(fields.identifiers):
        return "the names are not those that were authorized"
    if inspected.certificate.subject != fields.subject:
        return "the subject is not the one that was granted"
    if found is None:
        return None if fields.subject.rdns else "there is neither a subject nor a name"
    if found.critical is bool(fields.subject.rdns):
        return "subjectAltName is critical exactly when the subject is empty"
    return None
