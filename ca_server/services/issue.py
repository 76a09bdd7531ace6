"""The gate: every certificate of every protocol is decided here, and nowhere else (R7, R8, R14).

door -> `Gate.issue` -> `core.policy.decide` -> `core.tbs` -> lints -> the lane, which signs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from ca_server.core.assemble import Unsigned
from ca_server.core.authorization import SealCheck
from ca_server.core.clock import to_epoch
from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.policy import CertificateFields, Facts, decide
from ca_server.core.profile import Profile
from ca_server.core.tbs import build_certificate
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.claims import OrderClaim
from ca_server.services.approvals import count_approvals
from ca_server.services.certificate_request import Asked, CertificateRequest, asked_at
from ca_server.services.context import Context, actor_of
from ca_server.services.est.claims import EnrolmentClaim
from ca_server.services.est.limits import count_refusal
from ca_server.services.issuers import Issuers
from ca_server.services.lane import Lane
from ca_server.services.linting import LintMemory
from ca_server.services.outcome import (
    CertificateSummary,
    IssuedCertificate,
    LaneEntry,
    NewIntent,
    read_issued,
)
from ca_server.services.pending import (
    GIVEN_UP,
    ApprovalPending,
    Waiting,
    begin,
    ended,
    is_overdue,
    overdue,
)
from ca_server.services.recover import resume_entry
from ca_server.services.stored_intent import IntentCheck
from ca_server.store.approvals import logged_approvals, refuse_pending
from ca_server.store.enrolments import SecretSpent
from ca_server.store.issuance import (
    StoredIntent,
    find_idempotency_key,
    find_intent,
    insert_refused_request,
    is_compromised,
    stored_names,
)
from ca_server.store.orders import OrderTaken, link_finalization
from ca_server.store.requesters import find_requesters
from ca_server.store.requests import PastRequest, find_past_request
from ca_server.store.unit_of_work import BrokenRule


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says before anything is decided.

    `request` is what the idempotency key stands for; it is `waiting` while officers have it.
    """

    key: tuple[str, str] | None
    intent: StoredIntent | None
    compromised: bool
    request: PastRequest | None = None
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class _Granted:
    """A decision, what it rests on, and the exact bytes that it leads to."""

    facts: Facts
    fields: CertificateFields
    serial_number: int
    unsigned: Unsigned


class Gate:
    """Decides, builds, lints, and takes the result to the lane."""

    def __init__(
        self,
        context: Context,
        *,
        policies: PolicyStore,
        issuers: Issuers,
        seals: SealCheck,
        lints: LintMemory,
        lane: Lane,
    ) -> None:
        self._context = context
        self._policies = policies
        self._issuers = issuers
        self._seals = seals
        self._lints = lints
        self._check = IntentCheck(context, policies, issuers)
        self._lane = lane

    def issue(self, request: CertificateRequest) -> IssuedCertificate:
        """The one way to a certificate. The same idempotency key gives the same certificate again.

        Raises:
            ApprovalPending: the request waits for officers (`APPROVAL-PENDING`, with `retry_after`).
            CaError: forbidden (no seal; `APPROVAL-REJECTED`, `APPROVAL-EXPIRED`), the kind of the first
                broken rule with all that were broken, conflict (`IDEMPOTENCY-REUSED`), not_ready
                (`ACME-ORDER-NOT-READY`: somebody else claimed the order, or an authorization ended),
                rate_limited (`APPROVAL-LIMIT`, `EST-LIMIT-REFUSALS`), unauthenticated
                (`EST-SECRET-SPENT`), or unavailable with `retry_after`.
        """
        self._seals.require(request.authorization)
        known = self._known(request)
        return self._decide(request, known) if known.key is None else self._again(request, known)

    def _decide(self, request: CertificateRequest, known: _Known) -> IssuedCertificate:
        """Judge what has no certificate yet, and take what is granted to the lane."""
        try:
            entry = self._entry(request, compromised=known.compromised, waiting=known.waiting)
            return self._lane.submit(entry)
        except OrderTaken as error:
            raise refuse(Kind.NOT_READY, "ACME-ORDER-NOT-READY", "the order is not ready") from error
        except SecretSpent as error:
            detail = "this enrolment secret is used up; ask for another one"
            raise refuse(Kind.UNAUTHENTICATED, "EST-SECRET-SPENT", detail) from error
        except BrokenRule as error:
            known = self._known(request)
            if known.key is None:
                raise CaError(Kind.INTERNAL, "the request could not be stored") from error
            return self._again(request, known)

    def _known(self, request: CertificateRequest) -> _Known:
        """What the database knows of this request, its key and its public key, in one reading."""
        idempotency = request.idempotency
        with self._context.database.read() as connection:
            key = idempotency and find_idempotency_key(
                connection, request.authorization.principal.id, idempotency.key
            )
            compromised = is_compromised(connection, request.csr.spki_sha256)
            if not key:
                return _Known(None, None, compromised)
            past = find_past_request(connection, key[1])
            waiting = None
            if past.status == "pending":
                found, requesters = logged_approvals(connection, past.id), find_requesters(connection, past)
                approvals = count_approvals(past, found, requesters)
                waiting = Waiting(past, approvals)
            return _Known(key, find_intent(connection, past.id), compromised, past, waiting)

    def _again(self, request: CertificateRequest, known: _Known) -> IssuedCertificate:
        """What this idempotency key led to; an intent left open is taken up again."""
        assert known.key is not None
        assert known.request is not None
        assert request.idempotency is not None
        request_sha256, request_id = known.key
        if request_sha256 != request.idempotency.request_sha256:
            raise _reused()
        if known.intent is not None:
            if known.compromised:
                raise refuse(Kind.BAD_PUBLIC_KEY, "KEY-COMPROMISED", "this key is on the compromise list")
            if self._check.objection(known.intent):
                raise CaError(Kind.CONFLICT, GIVEN_UP)
            principal = request.authorization.principal
            return self._lane.submit(
                resume_entry(known.intent, actor_of(principal), principal.id, request.authorization.protocol)
            )
        if known.waiting is not None:
            return self._decide(request, known)
        issued = read_issued(self._context, request_id)
        if issued is None:
            raise ended(self._context, known.request)
        return issued

    def _entry(
        self, request: CertificateRequest, *, compromised: bool, waiting: Waiting | None = None
    ) -> LaneEntry:
        """Judge a request and prepare what the lane stores and signs.

        Raises:
            ApprovalPending: it lacks approvals and nothing else.
            CaError: every broken rule.
        """
        now = self._context.clock.now()
        asked = self._asked(request, waiting, now)
        try:
            profile = self._policies.profile(request.authorization.profile)
        except CaError as refusal:
            self._record_refusal(asked, "", refusal)
            raise
        facts = self._facts(request.csr, now, compromised=compromised, waiting=waiting)
        try:
            granted = self._grant(request, profile, facts)
        except CaError as refusal:
            if refusal.rule_ids == ("PROFILE-APPROVALS",) and asked.can_wait:
                raise self._wait(asked, profile, facts) from None
            self._record_refusal(asked, profile.sha256, refusal)
            raise
        return self._intend(asked, granted)

    def _wait(self, asked: Asked, profile: Profile, facts: Facts) -> ApprovalPending:
        """Have officers look at what would be issued as it stands; anything else is refused at once."""
        if asked.key is not None:
            try:
                self._grant(asked.request, profile, replace(facts, approvals=profile.requesters.approvals))
            except CaError as refusal:
                self._record_refusal(asked, profile.sha256, refusal)
                raise
            actor = actor_of(asked.request.authorization.principal)
            begin(self._context, self._policies.approvals, profile, actor, asked.stored, asked.key)
        return ApprovalPending(asked.stored.id, asked.request.retry_after)

    def _grant(self, request: CertificateRequest, profile: Profile, facts: Facts) -> _Granted:
        fields = decide(
            request.csr,
            request.authorization,
            profile,
            facts,
            not_before=request.not_before,
            not_after=request.not_after,
        )
        serial_number = x509.random_serial_number()
        try:
            unsigned = build_certificate(fields, facts.issuer, serial_number)
            self._lints.require(unsigned, fields, facts.issuer)
        except ValueError as error:
            detail = f"a name cannot be encoded as X.509 asks: {error}"
            raise refuse(Kind.POLICY_REFUSED, "PROFILE-ENCODING", detail) from error
        return _Granted(facts, fields, serial_number, unsigned)

    def _facts(self, csr: Csr, now: datetime, *, compromised: bool, waiting: Waiting | None) -> Facts:
        return Facts(
            now=now,
            issuer=self._issuers.current(),
            site=self._policies.site,
            compromised=compromised,
            own_key=csr.spki_sha256 in self._issuers.own_keys,
            debian_weak_keys=self._policies.debian_weak_keys,
            approvals=waiting.approvals if waiting else 0,
        )

    def _asked(self, request: CertificateRequest, waiting: Waiting | None, now: datetime) -> Asked:
        """The request with its row.

        Raises:
            CaError: conflict, `IDEMPOTENCY-REUSED`, it is not what officers were asked to approve;
                forbidden, `APPROVAL-EXPIRED`.
        """
        asked = asked_at(request, now, waiting)
        if not asked.is_unchanged:
            raise _reused()
        if waiting is not None and is_overdue(waiting.request, self._policies.approvals, now):
            refusal = overdue()
            self._record_refusal(asked, "", refusal)
            raise refusal
        return asked

    def _intend(self, asked: Asked, granted: _Granted) -> LaneEntry:
        """What T1 will store: the request, its intent with the exact bytes, and the event."""
        claim, principal = asked.request.claim, asked.request.authorization.principal
        fields, unsigned, stored = granted.fields, granted.unsigned, asked.stored
        serial = f"{granted.serial_number:040x}"
        actor = actor_of(principal)
        event = self._context.event(
            "issue.intent",
            actor,
            {
                "authority": granted.facts.issuer.authority_id,
                "serial": serial,
                "tbs_sha256": unsigned.tbs_sha256,
                "profile": fields.profile.name,
                "policy_sha256": fields.profile.sha256,
                "request": stored.id,
                "protocol": stored.protocol,
                **({"approvals": asked.waiting.approvals} if asked.waiting else {}),
                **(claim.told if isinstance(claim, EnrolmentClaim) else {}),
            },
        )
        intent = StoredIntent(
            authority_id=granted.facts.issuer.authority_id,
            serial_number=serial,
            event_id=event.event_id,
            request_id=stored.id,
            created_at=to_epoch(granted.facts.now),
            profile=fields.profile.name,
            signature_algorithm=unsigned.algorithm,
            tbs_sha256=unsigned.tbs_sha256,
            tbs=unsigned.tbs,
        )
        new = NewIntent(stored, event, asked.key, claim, waited=asked.waiting is not None)
        summary = CertificateSummary(
            subject=fields.subject.rfc4514_string(),
            names=stored_names(fields.identifiers),
            spki_sha256=asked.request.csr.spki_sha256,
            not_before=to_epoch(fields.not_before),
            not_after=to_epoch(fields.not_after),
        )
        return LaneEntry(intent, actor, principal.id, stored.protocol, summary, new)

    def _record_refusal(self, asked: Asked, policy_sha256: str, refusal: CaError) -> None:
        """Keep what was refused, with its event, so that a policy can be tried on it later.

        Raises:
            CaError: rate_limited, `EST-LIMIT-REFUSALS`: so much was refused that this is not kept.
        """
        stored, claim, rate = asked.stored, asked.request.claim, asked.request.refusals
        event = self._context.event(
            "issue.refused",
            actor_of(asked.request.authorization.principal),
            {
                "request": stored.id,
                "profile": stored.profile,
                "policy_sha256": policy_sha256,
                "rule_ids": sorted(set(refusal.rule_ids)),
            },
            outcome="failure",
        )
        with self._context.database.write() as unit:
            if asked.waiting is not None:
                refuse_pending(unit, stored.id, refusal)
            else:
                if rate is not None:
                    count_refusal(unit, stored.principal_id, rate, stored.created_at)
                insert_refused_request(unit, stored, refusal.violations, refusal.detail)
            if isinstance(claim, OrderClaim):
                link_finalization(unit, stored.id, claim.order_id)
            unit.commit(event)


def _reused() -> CaError:
    detail = "this Idempotency-Key was used for another request; use a new key"
    return refuse(Kind.CONFLICT, "IDEMPOTENCY-REUSED", detail)
