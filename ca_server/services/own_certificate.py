"""The server's own TLS certificate, issued by its own gate like everybody else's."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.authorization import Mint, Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.issue import Gate
from ca_server.services.outcome import IssuedCertificate

PROFILE = "tls-server"
RENEW_AFTER = 2 / 3

_OURSELVES = Principal(
    id="process:server", role=Role.ADMINISTRATOR, auth="process", profiles=(PROFILE,), names=("*",)
)


def is_due(
    certificate: x509.Certificate | None,
    key: CertificatePublicKeyTypes,
    names: tuple[str, ...],
    now: datetime,
) -> bool:
    """Whether it is missing, is for another key or other names, or has lived two thirds of its life."""
    if certificate is None or certificate.public_key() != key:
        return True
    wanted = x509.SubjectAlternativeName([_general_name(name) for name in names])
    carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    life: timedelta = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return set(wanted) != set(carried) or now >= certificate.not_valid_before_utc + life * RENEW_AFTER


def issue_own_certificate(
    gate: Gate, mint: Mint, key: CertificateIssuerPrivateKeyTypes, names: tuple[str, ...]
) -> IssuedCertificate:
    """A certificate for the server's names and TLS key.

    Raises:
        CaError: the profile refuses a name or the key, or the HSM or database is away.
    """
    general_names = [_general_name(name) for name in names]
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(general_names), critical=True)
        .sign(key, hashes.SHA256())
    )
    parsed = parse_csr(csr.public_bytes(Encoding.DER))
    authorization = mint.authorize(_OURSELVES, PROFILE, parsed.identifiers)
    return gate.issue(CertificateRequest(parsed, authorization))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
