"""EST's completion step: what an applicant asks for, if every identity of theirs allows it (R14, R17)."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from ca_server.core.csr import Csr, named_by_subject
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.profile import FixedAttribute, Profile
from ca_server.core.profile_words import ATTRIBUTES
from ca_server.services.access import require_allowed
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.est.applicants import Applicant, Identity
from ca_server.services.est.claims import EnrolmentClaim
from ca_server.services.est.limits import count_spent
from ca_server.services.est.linking import require_linked
from ca_server.services.est.parts import EstParts
from ca_server.services.est.repeating import Asked, find_asked
from ca_server.services.est.succession import key_violations, next_in_chain
from ca_server.services.outcome import IssuedCertificate

_WORDS = {oid: word for word, oid in ATTRIBUTES.items()}


def enrol(parts: EstParts, applicant: Applicant, profile: Profile, csr: Csr) -> IssuedCertificate:
    """The certificate for a first request (RFC 7030 §4.2.1); the same request gets the same one again.

    Raises:
        CaError: whatever `require_held` raises; forbidden, `EST-RENEWAL-COUNT` or `EST-RENEWAL-AGE`;
            unauthenticated, `EST-SECRET-SPENT`; bad_csr, `EST-CHANNEL-BINDING`; whatever `Gate.issue`
            raises.
    """
    named = named_by_subject(csr)
    require_held(applicant, profile, named)
    asked = find_asked(parts.context, applicant.principal, profile, csr)
    if asked.is_new:
        require_linked(profile, csr, applicant.channel_binding)
        require_unspent(parts, applicant)
    return _issue(parts, applicant, profile, named, asked)


def issue_to(parts: EstParts, applicant: Applicant, profile: Profile, csr: Csr) -> IssuedCertificate:
    """A certificate for a key that nobody can be given again, so that it is issued anew each time.

    Raises:
        CaError: as `enrol`, but for the channel binding and a secret that was used up before, which are the
            caller's to look at first.
    """
    named = named_by_subject(csr)
    require_held(applicant, profile, named)
    return _issue(parts, applicant, profile, named, None)


def _issue(
    parts: EstParts, applicant: Applicant, profile: Profile, csr: Csr, asked: Asked | None
) -> IssuedCertificate:
    authorization = parts.mint.authorize(applicant.principal, profile.name, csr.identifiers)
    claim = _claim(parts, applicant, profile)
    idempotency = asked.idempotency if asked else None
    return parts.gate.issue(
        CertificateRequest(
            csr,
            authorization,
            idempotency=idempotency,
            claim=claim,
            refusals=parts.settings.limits.refusals_per_identity,
            retry_after=int(parts.settings.retry_after.total_seconds()),
        )
    )


def _claim(parts: EstParts, applicant: Applicant, profile: Profile) -> EnrolmentClaim:
    """What it costs or goes on with: a secret is an officer's word, and begins a chain anew."""
    if applicant.secret is not None:
        return EnrolmentClaim(secret_id=applicant.secret.id)
    record = applicant.identities[0].record
    if record is None:
        return EnrolmentClaim()
    return EnrolmentClaim(renewal=next_in_chain(parts.context, profile, record))


def require_held(applicant: Applicant, profile: Profile, csr: Csr) -> None:
    """Pass a CSR, its common name being a name, for what each identity of the applicant allows (R14, R17).

    Raises:
        CaError: forbidden, `ACCESS-ROLE`, `ACCESS-PROFILE`, `ACCESS-NAME`, `ACCESS-SUBJECT` or
            `EST-RENEWAL-KEY`.
    """
    for identity in applicant.identities:
        _require_held(identity, profile, csr)


def _require_held(identity: Identity, profile: Profile, csr: Csr) -> None:
    record = identity.record
    if record is None:
        require_allowed(identity.principal, profile.name, csr)
    violations: list[Violation] = []
    if identity.subject is not None:
        violations += _subject_violations(identity.subject, profile, csr)
    if record is not None:
        violations += key_violations(profile, record, csr)
        violations += (
            Violation("ACCESS-NAME", f"the client certificate does not have the name {each}", "/csr")
            for each in sorted(csr.identifiers)
            if str(each) not in record.names
        )
        if not csr.identifiers:
            violations.append(
                Violation("ACCESS-NAME", "this credential needs at least one name in the CSR", "/csr")
            )
    if violations:
        detail = "this credential does not allow what is asked for"
        raise CaError(Kind.FORBIDDEN, detail, violations=tuple(violations))


def _subject_violations(own: x509.Name, profile: Profile, csr: Csr) -> Iterator[Violation]:
    """Attributes that neither the profile sets, nor the names, nor the identity's own subject has."""
    held = {(each.oid, each.value) for each in own}
    for attribute in csr.subject:
        word = _WORDS.get(attribute.oid, "")
        rule = profile.subject.get(word)  # type: ignore[call-overload]
        is_bound = isinstance(rule, FixedAttribute) or (rule is not None and rule.names)
        # Without a rule, the gate refuses it.
        if rule is not None and not is_bound and (attribute.oid, attribute.value) not in held:
            yield Violation(
                "ACCESS-SUBJECT",
                f"the client certificate's subject does not have this {word}",
                "/csr",
            )


def require_unspent(parts: EstParts, applicant: Applicant) -> None:
    """Turn a used-up secret away before anything is decided; the gate's transaction has the last word.

    Raises:
        CaError: unauthenticated, `EST-SECRET-SPENT`; rate_limited, `EST-LIMIT-FAILURES`.
    """
    secret = applicant.secret
    if secret is not None and secret.uses >= secret.max_uses:
        count_spent(parts.context, parts.settings.limits, secret.id)
        detail = "this enrolment secret is used up; ask for another one"
        raise refuse(Kind.UNAUTHENTICATED, "EST-SECRET-SPENT", detail)
