"""The certificate names its authority and that authority's key (RFC 5280 §4.1.2.4, §4.2.1.1)."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-ISSUER"


def check(inspected: Inspected) -> str | None:
    """Why the certificate does not point at its issuer, or None."""
    authority = inspected.issuer.certificate
    found = inspected.extension(x509.AuthorityKeyIdentifier)
    expected = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    if inspected.certificate.issuer != authority.subject:
        return "the issuer's name is not the authority's"
    if found is None or found.value.key_identifier != expected.digest:
        return "authorityKeyIdentifier is not the authority's key"
    return None
