"""Whoever gets the certificate can find out whether it was revoked (RFC 5280 §4.2.1.13, §4.2.2.1)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-STATUS"


def check(inspected: Inspected) -> str | None:
    """Why revocation could not be seen, or None; a responder's own certificate is exempt by its nocheck."""
    access = inspected.extension(x509.AuthorityInformationAccess)
    has_responder = access is not None and any(
        each.access_method == AuthorityInformationAccessOID.OCSP for each in access.value
    )
    has_list = inspected.extension(x509.CRLDistributionPoints) is not None
    is_exempt = inspected.extension(x509.OCSPNoCheck) is not None
    return None if has_responder or has_list or is_exempt else "there is neither a CRL nor a responder to ask"
