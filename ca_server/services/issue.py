"""The gate: every certificate of every protocol is decided here, and nowhere else (R7, R8, R14).

door -> `Gate.issue` -> `core.policy.decide` -> `core.tbs` -> lints -> the lane, which signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ca_server.core.assemble import Unsigned
from ca_server.core.authorization import Authorization, SealCheck
from ca_server.core.clock import to_epoch, to_text
from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.policy import CertificateFields, Facts, IssuerFacts, decide
from ca_server.core.profile import Profile
from ca_server.core.tbs import build_certificate
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.claims import OrderClaim
from ca_server.services.context import Context, actor_of, new_id
from ca_server.services.est.claims import EnrolmentClaim
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
from ca_server.services.recover import resume_entry
from ca_server.services.stored_intent import IntentCheck
from ca_server.store.enrolments import SecretSpent
from ca_server.store.issuance import (
    StoredIdempotencyKey,
    StoredIntent,
    StoredRequest,
    find_idempotency_key,
    find_intent,
    insert_refused_request,
    is_compromised,
    stored_names,
)
from ca_server.store.orders import OrderTaken, link_finalization
from ca_server.store.unit_of_work import BrokenRule

GIVEN_UP = "this request was given up; send it again with a new Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key, and the digest of the request that it stands for."""

    key: str
    request_sha256: str


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a door hands to the gate once the protocol has authorized it.

    `claim` is the ACME order or the enrolment that it is made for, taken together with the intent.
    """

    csr: Csr
    authorization: Authorization
    not_before: datetime | None = None
    not_after: datetime | None = None
    idempotency: Idempotency | None = None
    claim: OrderClaim | EnrolmentClaim | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says before anything is decided."""

    key: tuple[str, str] | None
    intent: StoredIntent | None
    compromised: bool


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
            CaError: forbidden (no seal), the kind of the first broken rule with all that were broken,
                conflict (`IDEMPOTENCY-REUSED`), not_ready (`ACME-ORDER-NOT-READY`: somebody else claimed
                the order, or an authorization ended), unauthenticated (`EST-SECRET-SPENT`), or unavailable
                with `retry_after`.
        """
        self._seals.require(request.authorization)
        known = self._known(request)
        if known.key is not None:
            return self._again(request, known)
        entry = self._entry(request, compromised=known.compromised)
        try:
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
            return _Known(
                key=key or None,
                intent=find_intent(connection, key[1]) if key else None,
                compromised=is_compromised(connection, request.csr.spki_sha256),
            )

    def _again(self, request: CertificateRequest, known: _Known) -> IssuedCertificate:
        """What this idempotency key led to; an intent left open is taken up again."""
        assert known.key is not None
        assert request.idempotency is not None
        request_sha256, request_id = known.key
        if request_sha256 != request.idempotency.request_sha256:
            raise refuse(
                Kind.CONFLICT,
                "IDEMPOTENCY-REUSED",
                "this Idempotency-Key was used for another request; use a new key",
            )
        if known.intent is not None:
            if known.compromised:
                raise refuse(Kind.BAD_PUBLIC_KEY, "KEY-COMPROMISED", "this key is on the compromise list")
            if self._check.objection(known.intent):
                raise CaError(Kind.CONFLICT, GIVEN_UP)
            principal = request.authorization.principal
            return self._lane.submit(
                resume_entry(known.intent, actor_of(principal), principal.id, request.authorization.protocol)
            )
        issued = read_issued(self._context, request_id)
        if issued is None:
            raise CaError(Kind.CONFLICT, GIVEN_UP)
        return issued

    def _entry(self, request: CertificateRequest, *, compromised: bool) -> LaneEntry:
        """Judge a request and prepare what the lane stores and signs."""
        now = self._context.clock.now()
        stored = self._stored_request(request, now)
        profile = self._profile(request, stored)
        issuer = self._issuers.current()
        facts = self._facts(request.csr, issuer, now, compromised=compromised)
        try:
            fields = decide(
                request.csr,
                request.authorization,
                profile,
                facts,
                not_before=request.not_before,
                not_after=request.not_after,
            )
            serial_number = x509.random_serial_number()
            unsigned = build_certificate(fields, issuer, serial_number)
            self._lints.require(unsigned, fields, issuer)
        except CaError as broken:
            self._record_refusal(request, stored, profile.sha256, broken)
            raise
        except ValueError as error:
            refusal = refuse(
                Kind.POLICY_REFUSED, "PROFILE-ENCODING", f"a name cannot be encoded as X.509 asks: {error}"
            )
            self._record_refusal(request, stored, profile.sha256, refusal)
            raise refusal from error
        return self._intend(request, stored, fields, issuer, unsigned, serial_number)

    def _profile(self, request: CertificateRequest, stored: StoredRequest) -> Profile:
        try:
            return self._policies.profile(request.authorization.profile)
        except CaError as refusal:
            self._record_refusal(request, stored, "", refusal)
            raise

    def _facts(self, csr: Csr, issuer: IssuerFacts, now: datetime, *, compromised: bool) -> Facts:
        return Facts(
            now=now,
            issuer=issuer,
            site=self._policies.site,
            compromised=compromised,
            own_key=csr.spki_sha256 in self._issuers.own_keys,
            debian_weak_keys=self._policies.debian_weak_keys,
            approvals=0,
        )

    def _stored_request(self, request: CertificateRequest, now: datetime) -> StoredRequest:
        authorization = request.authorization
        requested = {
            "identifiers": sorted(str(each) for each in authorization.identifiers),
            "not_after": request.not_after and to_text(request.not_after),
            "not_before": request.not_before and to_text(request.not_before),
            "role": authorization.principal.role,
        }
        return StoredRequest(
            id=new_id(now),
            created_at=to_epoch(now),
            protocol=authorization.protocol,
            principal_id=authorization.principal.id,
            profile=authorization.profile,
            csr_der=request.csr.der,
            requested=requested,
        )

    def _intend(
        self,
        request: CertificateRequest,
        stored: StoredRequest,
        fields: CertificateFields,
        issuer: IssuerFacts,
        unsigned: Unsigned,
        serial_number: int,
    ) -> LaneEntry:
        """What T1 will store: the request, its intent with the exact bytes, and the event."""
        principal = request.authorization.principal
        serial = f"{serial_number:040x}"
        actor = actor_of(principal)
        event = self._context.event(
            "issue.intent",
            actor,
            {
                "authority": issuer.authority_id,
                "serial": serial,
                "tbs_sha256": unsigned.tbs_sha256,
                "profile": fields.profile.name,
                "policy_sha256": fields.profile.sha256,
                "request": stored.id,
                "protocol": stored.protocol,
                **(request.claim.told if isinstance(request.claim, EnrolmentClaim) else {}),
            },
        )
        intent = StoredIntent(
            authority_id=issuer.authority_id,
            serial_number=serial,
            event_id=event.event_id,
            request_id=stored.id,
            created_at=stored.created_at,
            profile=fields.profile.name,
            signature_algorithm=unsigned.algorithm,
            tbs_sha256=unsigned.tbs_sha256,
            tbs=unsigned.tbs,
        )
        new = NewIntent(stored, event, _stored_key(request.idempotency, stored), request.claim)
        return LaneEntry(intent, actor, principal.id, stored.protocol, _summary(request.csr, fields), new)

    def _record_refusal(
        self, request: CertificateRequest, stored: StoredRequest, policy_sha256: str, refusal: CaError
    ) -> None:
        """Keep what was refused, with its event, so that a policy can be tried on it later."""
        event = self._context.event(
            "issue.refused",
            actor_of(request.authorization.principal),
            {
                "request": stored.id,
                "profile": stored.profile,
                "policy_sha256": policy_sha256,
                "rule_ids": sorted(set(refusal.rule_ids)),
            },
            outcome="failure",
        )
        with self._context.database.write() as unit:
            insert_refused_request(unit, stored, refusal.violations, refusal.detail)
            if isinstance(request.claim, OrderClaim):
                link_finalization(unit, stored.id, request.claim.order_id)
            unit.commit(event)


def _summary(csr: Csr, fields: CertificateFields) -> CertificateSummary:
    return CertificateSummary(
        subject=fields.subject.rfc4514_string(),
        names=stored_names(fields.identifiers),
        spki_sha256=csr.spki_sha256,
        not_before=to_epoch(fields.not_before),
        not_after=to_epoch(fields.not_after),
    )


def _stored_key(idempotency: Idempotency | None, stored: StoredRequest) -> StoredIdempotencyKey | None:
    if idempotency is None:
        return None
    return StoredIdempotencyKey(
        principal_id=stored.principal_id,
        key=idempotency.key,
        request_sha256=idempotency.request_sha256,
        request_id=stored.id,
        created_at=stored.created_at,
    )
