"""pkilint in process: RFC 5280 certificates and CRLs, RFC 6960 responses.

About 2.5 ms a document. Its rules are built once a process, when the first document is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ca_server.core.lints import Finding, Severity
from ca_server.core.lints.accepted import is_accepted

Lint = Callable[[bytes], tuple[Finding, ...]]


def lint_certificate(der: bytes) -> tuple[Finding, ...]:
    """What RFC 5280's rules say against a certificate."""
    return _certificate_lint()(der)


def lint_crl(der: bytes) -> tuple[Finding, ...]:
    """What RFC 5280's rules say against a CRL."""
    return _crl_lint()(der)


def lint_ocsp_response(der: bytes) -> tuple[Finding, ...]:
    """What RFC 6960's rules say against an OCSP response."""
    return _ocsp_lint()(der)


@cache
def _certificate_lint() -> Lint:
    from pkilint import loader  # noqa: PLC0415 - half a second that only a process that lints should pay
    from pkilint.pkix import certificate, extension, name  # noqa: PLC0415

    validator = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
    return _lint(validator, loader.RFC5280CertificateDocumentLoader())


@cache
def _crl_lint() -> Lint:
    from pkilint import loader, pkix  # noqa: PLC0415 - as above
    from pkilint.pkix import crl, extension, name  # noqa: PLC0415

    validator = crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )
    return _lint(validator, loader.RFC5280CertificateListDocumentLoader())


@cache
def _ocsp_lint() -> Lint:
    from pkilint import loader, pkix  # noqa: PLC0415 - as above
    from pkilint.pkix import extension, name, ocsp  # noqa: PLC0415

    validator = ocsp.create_pkix_ocsp_response_validator_container(
        [
            ocsp.create_response_decoder(),
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [],
    )
    return _lint(validator, loader.RFC6960OCSPResponseDocumentLoader())


def _lint(validator: Any, loader: Any) -> Lint:
    def lint(der: bytes) -> tuple[Finding, ...]:
        try:
            document = loader.load_der_document(der)
        except ValueError as error:
            return (Finding(Severity.FATAL, "LINT-DECODE", f"pkilint cannot decode this: {error}"),)
        found = (
            Finding(_severity(each.finding), each.finding.code, each.message or each.finding.code)
            for result in validator.validate(document.root)
            for each in result.finding_descriptions
        )
        return tuple(finding for finding in found if not is_accepted(finding.code, finding.detail))

    return lint


def _severity(finding: Any) -> Severity:
    """Our word for a severity: DEBUG of pkilint is INFO here, every other name is the same."""
    word = finding.severity.name.lower()
    return Severity.INFO if word == "debug" else Severity(word)
