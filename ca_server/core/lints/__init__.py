"""What is wrong with a certificate, CRL or OCSP response: house rules, one a file, and pkilint's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"
    INFO = "info"


_BLOCKING = frozenset({Severity.FATAL, Severity.ERROR, Severity.WARNING})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: a house rule's id or pkilint's code, and words for a reader."""

    severity: Severity
    code: str
    detail: str


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those findings with which nothing is signed."""
    return tuple(finding for finding in findings if finding.severity in _BLOCKING)
