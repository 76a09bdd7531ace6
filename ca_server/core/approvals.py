"""Approvals: what officers say of a request before it can become a certificate, and how long it waits.

`policies/approvals.toml` as a frozen model; without the file its defaults are in force.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from ca_server.core.document import Duration, Strict, parse_document


class Decision(StrEnum):
    """What an officer says of a request, once and for ever."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ApprovalRules(Strict):
    """`approvals.toml`: how requests wait.

    One that nobody decided for `lifetime` is refused. No requester has more than `max_pending` requests
    waiting, so that none fills the list of those who decide.
    """

    lifetime: Duration = timedelta(days=7)
    max_pending: int = Field(default=100, ge=1, le=100_000)


def parse_approval_rules(data: bytes, *, source: str) -> ApprovalRules:
    """How requests wait, as an `approvals.toml` states it.

    Raises:
        CaError: malformed; `POLICY-...` rules with their places.
    """
    return parse_document(data, ApprovalRules, source, rule="POLICY")
