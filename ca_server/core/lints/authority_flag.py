"""CA:true and keyCertSign stand in certificates of a subordinate's profile alone (R7)."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-CA"


def check(inspected: Inspected) -> str | None:
    """Why the certificate is an authority's without right, or the other way about, or None."""
    constraints = inspected.extension(x509.BasicConstraints)
    usage = inspected.extension(x509.KeyUsage)
    if constraints is None or usage is None or not constraints.critical or not usage.critical:
        return "basicConstraints and keyUsage are there and critical"
    rules = inspected.fields.profile.extensions
    if (constraints.value.ca, constraints.value.path_length) != (rules.ca, rules.path_length):
        return "basicConstraints is not what the profile gives"
    if usage.value.key_cert_sign is not rules.ca:
        return "keyCertSign goes with CA:true and nothing else"
    return None
