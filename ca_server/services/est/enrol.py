"""EST's completion step: what an applicant asks for, if every identity of theirs allows it (R14, R17)."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from ca_server.core.authorization import Authorization
from ca_server.core.csr import Csr, named_by_subject
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.profile import FixedAttribute, Profile
from ca_server.core.profile_words import ATTRIBUTES
from ca_server.services.access import require_allowed
from ca_server.services.est.applicants import Applicant, Identity
from ca_server.services.est.claims import EnrolmentClaim
from ca_server.services.est.limits import Failures
from ca_server.services.est.linking import require_linked
from ca_server.services.est.parts import EstParts
from ca_server.services.est.repeating import Asked, find_asked
from ca_server.services.issue import CertificateRequest
from ca_server.services.outcome import IssuedCertificate

_WORDS = {oid: word for word, oid in ATTRIBUTES.items()}


def enrol(parts: EstParts, applicant: Applicant, profile: Profile, csr: Csr) -> IssuedCertificate:
    """The certificate for a first request (RFC 7030 §4.2.1); the same request gets the same one again.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`, `ACCESS-PROFILE`, `ACCESS-NAME` or `ACCESS-SUBJECT`;
            unauthenticated, `EST-SECRET-SPENT`; bad_csr, `EST-CHANNEL-BINDING`; whatever `Gate.issue`
            raises.
    """
    named = named_by_subject(csr)
    authorization = _authorize(parts, applicant, profile, named)
    asked = find_asked(parts.context, applicant.principal, profile, csr)
    if asked.is_new:
        require_linked(profile, csr, applicant.channel_binding)
        require_unspent(parts, applicant)
    return _issue(parts, applicant, named, authorization, asked)


def issue_to(parts: EstParts, applicant: Applicant, profile: Profile, csr: Csr) -> IssuedCertificate:
    """A certificate for a key that nobody can be given again, so that it is issued anew each time.

    Raises:
        CaError: as `enrol`, but for the channel binding and a secret that was used up before, which are the
            caller's to look at first.
    """
    named = named_by_subject(csr)
    authorization = _authorize(parts, applicant, profile, named)
    return _issue(parts, applicant, named, authorization, None)


def _issue(
    parts: EstParts, applicant: Applicant, csr: Csr, authorization: Authorization, asked: Asked | None
) -> IssuedCertificate:
    claim = EnrolmentClaim(secret_id=applicant.secret.id if applicant.secret else None)
    idempotency = asked.idempotency if asked else None
    return parts.gate.issue(
        CertificateRequest(
            csr,
            authorization,
            idempotency=idempotency,
            claim=claim,
            retry_after=int(parts.settings.retry_after.total_seconds()),
        )
    )


def _authorize(parts: EstParts, applicant: Applicant, profile: Profile, csr: Csr) -> Authorization:
    """Seal permission for exactly what this CSR names, if each identity allows it."""
    for identity in applicant.identities:
        _require_held(identity, profile, csr)
    return parts.mint.authorize(applicant.principal, profile.name, csr.identifiers)


def _require_held(identity: Identity, profile: Profile, csr: Csr) -> None:
    if identity.holds is None:
        require_allowed(identity.principal, profile.name, csr)
    violations: list[Violation] = []
    if identity.subject is not None:
        violations += _subject_violations(identity.subject, profile, csr)
    if identity.holds is not None:
        violations += (
            Violation("ACCESS-NAME", f"the client certificate does not have the name {each}", "/csr")
            for each in sorted(csr.identifiers)
            if str(each) not in identity.holds
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
        CaError: unauthenticated, `EST-SECRET-SPENT`.
    """
    secret = applicant.secret
    if secret is not None and secret.uses >= secret.max_uses:
        Failures(parts.context, parts.settings.limits, applicant.address, secret.id).count()
        detail = "this enrolment secret is used up; ask for another one"
        raise refuse(Kind.UNAUTHENTICATED, "EST-SECRET-SPENT", detail)
