"""The certificate is signed as its authority signs, and with nothing weaker."""

from __future__ import annotations

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-ALGORITHM"


def check(inspected: Inspected) -> str | None:
    """Why the signature algorithm is not the authority's, or None."""
    expected = inspected.issuer.signature_algorithm
    used = inspected.certificate.signature_hash_algorithm
    named = used.name if used else None
    if inspected.algorithm is expected and named == (expected.hash.name if expected.hash else None):
        return None
    return f"the authority signs by {expected}"
