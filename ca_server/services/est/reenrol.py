"""Renewal by the certificate that is renewed: the same identity, under the policy of now (RFC 7030 §4.2.2).

Whoever holds a certificate renews it without asking anybody, so renewal is bounded: by the compromise list,
by how often and for how long a chain goes on, and by a new key where the profile wants one (R16).
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509

from ca_server.core.csr import Csr, named_by_subject
from ca_server.core.csr_encoding import load_request
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.est.resources import PROTOCOL
from ca_server.core.profile import Profile
from ca_server.core.subject_rules import judge_subject
from ca_server.peer import Peer
from ca_server.services.access import ClientCertificate, judge_client_certificate
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.est.applicants import principal_of_certificate
from ca_server.services.est.claims import EnrolmentClaim
from ca_server.services.est.linking import require_linked
from ca_server.services.est.parts import EstParts
from ca_server.services.est.repeating import find_asked
from ca_server.services.est.succession import key_violations, next_in_chain, require_lasting
from ca_server.services.outcome import IssuedCertificate
from ca_server.store.inventory import CertificateRecord

# id-cmc-changeSubjectName (RFC 6402 §2.8, RFC 7030 §4.2.2): another identity is enrolled, not renewed.
_CHANGE_SUBJECT_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36")


def predecessor_of(parts: EstParts, peer: Peer) -> ClientCertificate:
    """The certificate that the client shows to be renewed, once it is known to be good now.

    Raises:
        CaError: unauthenticated, `ACCESS-CREDENTIALS` or an `ACCESS-CERT-...` rule; unavailable.
    """
    if peer.certificate is None:
        raise refuse(
            Kind.UNAUTHENTICATED,
            "ACCESS-CREDENTIALS",
            "show the certificate to be renewed as the TLS client certificate; a password does not renew",
        )
    return judge_client_certificate(parts.context, peer.certificate, parts.manufacturers.judge)


def reenrol(
    parts: EstParts, presented: ClientCertificate, peer: Peer, profile: Profile | None, csr: Csr
) -> IssuedCertificate:
    """The certificate that takes the place of the presented one.

    `profile` is what a label leads to; None asks for the certificate's own, which it has to be.

    Raises:
        CaError: forbidden, `EST-RENEWAL-FOREIGN`, `EST-RENEWAL-ACME`, `EST-RENEWAL-PROFILE`,
            `EST-RENEWAL-COUNT` or `EST-RENEWAL-AGE`; bad_csr with every broken `EST-RENEWAL-...` rule,
            `EST-CHANNEL-BINDING`; whatever `Gate.issue` raises.
    """
    old = presented.record
    if old is None:
        raise _forbidden(
            "EST-RENEWAL-FOREIGN", "a manufacturer's certificate is not renewed here; enrol with it"
        )
    require_lasting(old)
    own = _own_profile(parts, old, profile)
    named = named_by_subject(csr)
    _require_same(presented, old, own, named)
    renewal = next_in_chain(parts.context, own, old)
    principal = principal_of_certificate(presented.certificate, (own.name,))
    asked = find_asked(parts.context, principal, own, csr)
    if asked.is_new:
        require_linked(own, csr, peer.channel_binding)
    return parts.gate.issue(
        CertificateRequest(
            named,
            parts.mint.authorize(principal, own.name, named.identifiers),
            idempotency=asked.idempotency,
            claim=EnrolmentClaim(renewal=renewal),
            refusals=parts.settings.limits.refusals_per_identity,
            retry_after=int(parts.settings.retry_after.total_seconds()),
        )
    )


def _own_profile(parts: EstParts, old: CertificateRecord, wanted: Profile | None) -> Profile:
    """The profile of the certificate, if it is the one that was asked for and is still given over EST."""
    if wanted is not None and wanted.name != old.profile:
        raise _forbidden(
            "EST-RENEWAL-PROFILE",
            f"the client certificate is of the profile {old.profile}, and is renewed under that one alone",
        )
    if old.profile not in parts.policies.names:
        raise _forbidden("EST-RENEWAL-PROFILE", f"there is no profile {old.profile} any more")
    found = parts.policies.profile(old.profile)
    if PROTOCOL not in found.requesters.protocols:
        raise _forbidden("EST-RENEWAL-PROFILE", f"the profile {old.profile} is not given over EST")
    return found


def _require_same(presented: ClientCertificate, old: CertificateRecord, profile: Profile, csr: Csr) -> None:
    violations = tuple(_differences(presented.certificate, old, profile, csr))
    if violations:
        raise CaError(Kind.BAD_CSR, violations[0].detail, violations=violations)


def _differences(
    certificate: x509.Certificate, old: CertificateRecord, profile: Profile, csr: Csr
) -> Iterator[Violation]:
    """Where a request asks for something else than what is renewed."""
    attributes = load_request(csr.der).attributes
    if any(each.oid == _CHANGE_SUBJECT_NAME for each in attributes):
        yield Violation(
            "EST-RENEWAL-CHANGE", "a name is not changed by renewal; enrol with the new one", "/csr"
        )
    # What the profile sets may be left out of a CSR, as it could when the certificate was first asked for.
    granted, _ = judge_subject(csr.subject, csr.identifiers, profile)
    if certificate.subject not in {csr.subject, granted}:
        yield Violation(
            "EST-RENEWAL-SUBJECT",
            "the subject is that of the certificate to be renewed: "
            f"{certificate.subject.rfc4514_string() or 'empty'}",
            "/csr",
        )
    names = {str(each) for each in csr.identifiers}
    if names != set(old.names):
        yield Violation(
            "EST-RENEWAL-NAMES",
            f"the names are those of the certificate to be renewed: {', '.join(old.names) or 'none'}",
            "/csr",
        )
    yield from key_violations(profile, old, csr)


def _forbidden(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.FORBIDDEN, rule_id, detail)
