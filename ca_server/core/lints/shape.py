"""The shape of a certificate: what pkilint's verdict depends on, so that one of a kind is linted."""

from __future__ import annotations

from ca_server.core.policy import CertificateFields, IssuerFacts


def shape_of(fields: CertificateFields, issuer: IssuerFacts) -> str:
    """Equal for certificates with the same extensions, attributes, name types and key type."""
    types = sorted({each.type for each in fields.identifiers})
    wildcard = any(each.value.startswith("*.") for each in fields.identifiers)
    attributes = [attribute.oid.dotted_string for attribute in fields.subject]
    era = "generalized" if fields.not_after.year >= 2050 else "utc"
    parts = [
        fields.profile.sha256,
        issuer.authority_id,
        fields.key_type,
        ",".join(types),
        "wildcard" if wildcard else "",
        ",".join(attributes),
        era,
    ]
    return "|".join(parts)
