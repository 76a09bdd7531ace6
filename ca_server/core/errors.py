"""What can go wrong, in words a door may show: one error type, a closed list of kinds.

No kind knows HTTP, ACME or OCSP; each protocol owns one total table from kind to its wire form.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The closed list of refusals and failures that a door can be asked to express."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    NOT_READY = "not_ready"
    BAD_CSR = "bad_csr"
    BAD_PUBLIC_KEY = "bad_public_key"
    REJECTED_IDENTIFIER = "rejected_identifier"
    POLICY_REFUSED = "policy_refused"
    ALREADY_REVOKED = "already_revoked"
    BAD_NONCE = "bad_nonce"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: its id, what is wrong, what would be accepted, and where (JSON Pointer)."""

    rule_id: str
    detail: str
    pointer: str | None = None


class CaError(Exception):
    """A refusal or failure whose words are safe to show to whoever asked.

    The cause, which is not safe to show, is chained and goes to the log. `retry_after` is in seconds.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        violations: tuple[Violation, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.violations = violations
        self.retry_after = retry_after

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of the rules that were broken, in the order they were found."""
        return tuple(violation.rule_id for violation in self.violations)


def refuse(kind: Kind, rule_id: str, detail: str, *, pointer: str | None = None) -> CaError:
    """A `CaError` for one broken rule, so that a rule id is never forgotten."""
    return CaError(kind, detail, violations=(Violation(rule_id, detail, pointer),))
