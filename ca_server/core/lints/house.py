"""The house rules, run on the bytes of every certificate before they are signed (R8)."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.assemble import Unsigned
from ca_server.core.errors import CaError
from ca_server.core.lints import (
    Finding,
    Severity,
    algorithm,
    authority_flag,
    issuer,
    key,
    names,
    purpose,
    serial_number,
    status,
    validity,
)
from ca_server.core.lints.inspected import Inspected
from ca_server.core.policy import CertificateFields, IssuerFacts

_RULES = (
    (algorithm.RULE, algorithm.check),
    (authority_flag.RULE, authority_flag.check),
    (issuer.RULE, issuer.check),
    (key.RULE, key.check),
    (names.RULE, names.check),
    (purpose.RULE, purpose.check),
    (serial_number.RULE, serial_number.check),
    (status.RULE, status.check),
    (validity.RULE, validity.check),
)


def lint_house(
    unsigned: Unsigned, fields: CertificateFields, issuer_facts: IssuerFacts
) -> tuple[Finding, ...]:
    """What our own rules say against a certificate that would be made of these fields."""
    try:
        certificate = _twin(unsigned)
        inspected = Inspected(certificate, unsigned.algorithm, fields, issuer_facts)
        found = [(rule_id, check(inspected)) for rule_id, check in _RULES]
    except (ValueError, CaError) as error:
        return (Finding(Severity.FATAL, "HOUSE-DECODE", f"the bytes to be signed cannot be read: {error}"),)
    return tuple(Finding(Severity.ERROR, rule_id, detail) for rule_id, detail in found if detail)


def _twin(unsigned: Unsigned) -> x509.Certificate:
    """The certificate to be looked at, whose TBS is byte for byte the one to be signed."""
    certificate = x509.load_der_x509_certificate(unsigned.twin)
    if certificate.tbs_certificate_bytes != unsigned.tbs:
        raise ValueError("the twin is another certificate")
    return certificate
