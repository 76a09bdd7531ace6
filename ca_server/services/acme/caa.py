"""Looks for CAA records and judges them, before an authorization is valid and again before a certificate.

Whatever is not known forbids: where DNS gives no answer, nothing is issued.
"""

from __future__ import annotations

from collections.abc import Collection

from ca_server.core.acme.caa import CaaQuestion, climb, why_forbidden
from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.evidence import Evidence
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.resolver import DnsFailed, Resolver

TOTAL_SECONDS = 10.0
RETRY_AFTER = 10


def check_caa(
    resolver: Resolver,
    identities: Collection[str],
    account_url: str,
    challenge_type: ChallengeType,
    identifier: Identifier,
    wildcard: bool,  # noqa: FBT001 - part of the name
) -> None:
    """Pass only if CAA lets us issue for this name now; addresses have no CAA.

    Raises:
        CaError: forbidden, `ACME-CAA`; unavailable, `ACME-CAA-LOOKUP`, DNS gave no answer.
    """
    question = CaaQuestion(identities, account_url, challenge_type, wildcard)
    try:
        require_caa(resolver, question, identifier, Evidence())
    except DnsFailed as error:
        raise CaError(
            Kind.UNAVAILABLE,
            error.problem.detail,
            violations=refuse(Kind.UNAVAILABLE, "ACME-CAA-LOOKUP", error.problem.detail).violations,
            retry_after=RETRY_AFTER,
        ) from error
    except ValidationFailed as error:
        raise refuse(Kind.FORBIDDEN, "ACME-CAA", error.problem.detail) from error


def require_caa(
    resolver: Resolver, question: CaaQuestion, identifier: Identifier, evidence: Evidence
) -> None:
    """The same while a name is validated, with a note of what was found.

    Raises:
        DnsFailed: DNS gave no answer.
        ValidationFailed: caa.
    """
    if identifier.type is IdentifierType.IP:
        return
    deadline = Deadline(TOTAL_SECONDS)
    for name in climb(identifier.value):
        records = resolver.caa(name, evidence, deadline)
        if records:
            reason = why_forbidden(records, question)
            evidence.note("caa", at=name, records=len(records), error=reason)
            if reason is not None:
                raise ValidationFailed("caa", f"CAA at {name} forbids {identifier.value}: {reason}")
            return
    evidence.note("caa", records=0)
