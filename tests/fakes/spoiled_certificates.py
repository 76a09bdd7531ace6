"""A certificate of the shipped `tls-server` profile, built right or with some parts put wrong."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca_server.core.assemble import record_unsigned
from ca_server.core.extensions import extensions_of
from ca_server.core.signatures import SignatureAlgorithm
from tests.fakes.paper_authority import SERIAL, dns, grant, make_csr, make_issuer

FIELDS = grant("tls-server", make_csr(dns("a.example.com")))


def naive(moment):
    """As a builder's constructor takes it."""
    return moment.replace(tzinfo=None)


def build(drop=(), add=(), **changes):
    """The certificate of FIELDS, built with some parts put wrong."""
    issuer = make_issuer()
    kept = (
        [each for each in extensions_of(FIELDS, issuer) if not isinstance(each.value, drop)]
        if drop
        else (extensions_of(FIELDS, issuer))
    )
    parts = {
        "issuer_name": issuer.certificate.subject,
        "subject_name": FIELDS.subject,
        "public_key": FIELDS.public_key,
        "serial_number": SERIAL,
        "not_valid_before": naive(FIELDS.not_before),
        "not_valid_after": naive(FIELDS.not_after),
        "extensions": [*kept, *(x509.Extension(value.oid, critical, value) for value, critical in add)],
    }
    digest = changes.pop("digest", hashes.SHA256())
    algorithm = SignatureAlgorithm(f"ecdsa-{digest.name}")
    builder = x509.CertificateBuilder(**(parts | changes))
    return record_unsigned(lambda key: builder.sign(key, digest), issuer.certificate.public_key(), algorithm)
