"""Looks for CAA records and judges them, before an authorization is valid and again before a certificate.

Whatever is not known forbids: where DNS gives no answer, nothing is issued.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ca_server.core.acme.caa import CaaQuestion, CaaRecord, climb, why_forbidden
from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.evidence import Evidence
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.resolver import DnsFailed, Resolver

TOTAL_SECONDS = 10.0
RETRY_AFTER = 10
# Of a process, whose threads serve everybody else too.
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class CaaAsk:
    """A name that is about to be certified, by whom it was proven, and how."""

    account_url: str
    challenge_type: ChallengeType
    identifier: Identifier
    wildcard: bool


class CaaChecks:
    """The looks at CAA while orders are finalized: a few at once, so that slow DNS holds up few threads."""

    def __init__(self, resolver: Resolver, identities: Collection[str]) -> None:
        self._resolver = resolver
        self._identities = identities
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def require(self, asks: Sequence[CaaAsk]) -> None:
        """Pass only if CAA lets us issue for all these names now, in ten seconds all together.

        Raises:
            CaError: forbidden, `ACME-CAA`; unavailable, `ACME-CAA-LOOKUP`, DNS gave no answer, or too many
                ask at once.
        """
        if not self._free.acquire(blocking=False):
            raise _no_answer("too many look-ups of CAA are going on at once")
        deadline, known = Deadline(TOTAL_SECONDS), dict[str, tuple[CaaRecord, ...]]()
        try:
            for ask in asks:
                question = CaaQuestion(self._identities, ask.account_url, ask.challenge_type, ask.wildcard)
                _require(self._resolver, question, ask.identifier, _Look(Evidence(), deadline, known))
        except DnsFailed as error:
            raise _no_answer(error.problem.detail) from error
        except ValidationFailed as error:
            raise refuse(Kind.FORBIDDEN, "ACME-CAA", error.problem.detail) from error
        finally:
            self._free.release()


def require_caa(
    resolver: Resolver, question: CaaQuestion, identifier: Identifier, evidence: Evidence
) -> None:
    """The same for one name while it is validated, with a note of what was found.

    Raises:
        DnsFailed: DNS gave no answer.
        ValidationFailed: caa.
    """
    _require(resolver, question, identifier, _Look(evidence, Deadline(TOTAL_SECONDS), {}))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look: where it is noted, until when it may last, and what it has found at which name so far."""

    evidence: Evidence
    deadline: Deadline
    known: dict[str, tuple[CaaRecord, ...]]

    def records(self, resolver: Resolver, name: str) -> tuple[CaaRecord, ...]:
        if name not in self.known:
            self.known[name] = resolver.caa(name, self.evidence, self.deadline)
        return self.known[name]


def _require(resolver: Resolver, question: CaaQuestion, identifier: Identifier, look: _Look) -> None:
    if identifier.type is IdentifierType.IP:
        return
    for name in climb(identifier.value):
        records = look.records(resolver, name)
        if records:
            reason = why_forbidden(records, question)
            look.evidence.note("caa", at=name, records=len(records), error=reason)
            if reason is not None:
                raise ValidationFailed("caa", f"CAA at {name} forbids {identifier.value}: {reason}")
            return
    look.evidence.note("caa", records=0)


def _no_answer(detail: str) -> CaError:
    violations = refuse(Kind.UNAVAILABLE, "ACME-CAA-LOOKUP", detail).violations
    return CaError(Kind.UNAVAILABLE, detail, violations=violations, retry_after=RETRY_AFTER)
