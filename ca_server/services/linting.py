"""Lints before signing: house rules on every certificate, pkilint once for every shape.

pkilint costs about 2.5 ms a certificate. Certificates of one shape (profile, key type, set of extensions
and name types) get one verdict, which is remembered; the worker runs pkilint on all of them afterwards.
"""

from __future__ import annotations

from ca_server.core.assemble import Unsigned
from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.lints import Finding, blocking
from ca_server.core.lints.house import lint_house
from ca_server.core.lints.pkix import lint_certificate
from ca_server.core.lints.shape import shape_of
from ca_server.core.policy import CertificateFields, IssuerFacts

# A profile has few shapes; more than this is somebody playing with us, and costs time but not memory.
MAX_SHAPES = 10_000


class LintMemory:
    """Remembers pkilint's verdict on each shape for the life of a process."""

    def __init__(self) -> None:
        self._verdicts: dict[str, tuple[Finding, ...]] = {}

    def require(self, unsigned: Unsigned, fields: CertificateFields, issuer: IssuerFacts) -> None:
        """Let only a certificate without findings go on to be signed.

        Raises:
            CaError: policy_refused; a certificate that the profile allowed breaks a lint.
        """
        findings = lint_house(unsigned, fields, issuer)
        if not blocking(findings):
            findings = self._pkix(shape_of(fields, issuer), unsigned.twin)
        if broken := blocking(findings):
            raise CaError(
                Kind.POLICY_REFUSED,
                "the certificate would break a lint: " + "; ".join(each.detail for each in broken),
                violations=tuple(Violation(each.code, each.detail) for each in broken),
            )

    def _pkix(self, shape: str, twin: bytes) -> tuple[Finding, ...]:
        verdict = self._verdicts.get(shape)
        if verdict is None:
            verdict = lint_certificate(twin)
            if len(self._verdicts) < MAX_SHAPES:
                self._verdicts[shape] = verdict
        return verdict
