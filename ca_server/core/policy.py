"""The decision: a CSR, an authorization and a profile in; the granted fields, or every broken rule, out.

Pure: the same values give the same answer, today and when an auditor replays it. What is granted is
exactly what was asked for and authorized, within the profile (R5, R6, R7); nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ca_server.core.acme.resources import PROTOCOL as ACME
from ca_server.core.authorization import Authorization
from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.est.resources import PROTOCOL as EST
from ca_server.core.extension_rules import extension_violations
from ca_server.core.identifiers import Identifier
from ca_server.core.name_rules import name_violations
from ca_server.core.profile import Profile
from ca_server.core.protocol_rules import Habits
from ca_server.core.public_keys import KeyFacts, key_violations
from ca_server.core.signatures import KeyType, PublicKey, SignatureAlgorithm
from ca_server.core.site import SiteRules
from ca_server.core.subject_rules import judge_subject
from ca_server.core.validity_rules import judge_validity


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """The authority that will sign, and where others find its CRL, its responder and its certificate."""

    authority_id: str
    certificate: x509.Certificate
    signature_algorithm: SignatureAlgorithm
    crl_urls: tuple[str, ...]
    ocsp_urls: tuple[str, ...]
    ca_issuer_urls: tuple[str, ...]

    def __hash__(self) -> int:
        return hash(self.authority_id)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision must know beside the request; whoever decides gathers it first."""

    now: datetime
    issuer: IssuerFacts
    site: SiteRules
    compromised: bool
    own_key: bool
    debian_weak_keys: Collection[str]
    approvals: int


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """What is granted: all of a certificate but its serial number and signature.

    `identifiers` are sorted. Extensions follow from the profile, the names and the key.
    """

    profile: Profile
    subject: x509.Name
    public_key: PublicKey
    key_type: KeyType
    identifiers: tuple[Identifier, ...]
    not_before: datetime
    not_after: datetime


def decide(
    csr: Csr,
    authorization: Authorization,
    profile: Profile,
    facts: Facts,
    *,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> CertificateFields:
    """Grant what was asked for, or refuse with every rule that it breaks.

    `not_before` and `not_after` are aware times, or None for the profile's default.

    Raises:
        CaError: forbidden, bad_public_key, rejected_identifier or policy_refused - forbidden if the
            requester may not have this profile, else the one kind that fits all the rules broken.
    """
    violations = list(_requester_violations(authorization, profile, facts.approvals))
    violations += _key_violations(csr, profile, facts)
    subject, broken = judge_subject(csr.subject, csr.identifiers, profile)
    violations += broken
    violations += _set_violations(csr.identifiers, authorization.identifiers)
    violations += name_violations(csr.identifiers, profile.names, facts.site.names)
    violations += extension_violations(csr, profile.extensions, _habits(authorization, profile))
    begin, end, broken = judge_validity(
        profile.validity, facts.issuer.certificate, facts.now, not_before, not_after
    )
    violations += broken
    violations += _depth_violations(profile, facts.issuer.certificate)
    if not csr.identifiers and not subject.rdns:
        violations.append(
            Violation(
                "PROFILE-SUBJECT-EMPTY", "a certificate needs a name: a subject or subjectAltName", "/csr"
            )
        )
    if violations:
        raise _refusal(violations)
    return CertificateFields(
        profile=profile,
        subject=subject,
        public_key=csr.public_key,
        key_type=csr.key_type,
        identifiers=tuple(sorted(csr.identifiers)),
        not_before=begin,
        not_after=end,
    )


def _requester_violations(
    authorization: Authorization, profile: Profile, approvals: int
) -> Iterator[Violation]:
    rules = profile.requesters
    if authorization.profile != profile.name:
        yield Violation(
            "PROFILE-AUTHORIZATION", f"the authorization is for {authorization.profile}", "/profile"
        )
    if authorization.principal.role not in rules.roles:
        yield Violation(
            "PROFILE-ROLE",
            f"the profile {profile.name} may be asked for by {', '.join(rules.roles)}",
            "/profile",
        )
    if authorization.protocol not in rules.protocols:
        yield Violation(
            "PROFILE-PROTOCOL",
            f"the profile {profile.name} may be asked for over {', '.join(rules.protocols)}",
            "/profile",
        )
    if approvals < rules.approvals:
        yield Violation(
            "PROFILE-APPROVALS",
            f"the profile {profile.name} needs {rules.approvals} approvals of officers and has {approvals}; "
            "only a request over REST or EST can wait for them",
            "/profile",
        )


def _key_violations(csr: Csr, profile: Profile, facts: Facts) -> Iterator[Violation]:
    if csr.key_type not in profile.keys.allowed:
        accepted = ", ".join(profile.keys.allowed)
        yield Violation("KEY-PROFILE", f"the profile {profile.name} accepts keys of {accepted}", "/csr")
    known = KeyFacts(facts.compromised, facts.own_key, facts.debian_weak_keys)
    yield from key_violations(csr.public_key, known, facts.site.keys)


def _set_violations(asked: frozenset[Identifier], authorized: frozenset[Identifier]) -> Iterator[Violation]:
    """Exactly the authorized names, as a set over all types (R5)."""
    for identifier in sorted(asked - authorized):
        yield Violation("NAME-UNAUTHORIZED", f"the name {identifier} was not authorized", "/csr")
    for identifier in sorted(authorized - asked):
        yield Violation("NAME-MISSING", f"the authorized name {identifier} is not in the CSR", "/csr")


def _depth_violations(profile: Profile, issuer: x509.Certificate) -> Iterator[Violation]:
    """An authority below ours is of no use where ours may have none below it (RFC 5280 §4.2.1.9)."""
    if not profile.extensions.ca:
        return
    limit = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if limit is not None and (profile.extensions.path_length or 0) >= limit:
        yield Violation(
            "PROFILE-PATH-LENGTH",
            f"the issuing authority has a path length of {limit}, which leaves no room for this one below it",
            "/profile",
        )


def _habits(authorization: Authorization, profile: Profile) -> Habits:
    """What may be asked for in vain; whoever writes a REST request writes its CSR with care."""
    habits = {ACME: profile.acme, EST: profile.est}
    return habits.get(authorization.protocol, Habits())


_FORBIDDEN = {"PROFILE-ROLE", "PROFILE-PROTOCOL", "PROFILE-AUTHORIZATION"}
_NAME_RULES = ("NAME-", "PROFILE-NAME-", "SITE-NAME-")


def _refusal(violations: list[Violation]) -> CaError:
    rule_ids = [violation.rule_id for violation in violations]
    if _FORBIDDEN.intersection(rule_ids):
        kind = Kind.FORBIDDEN
    elif all(rule_id.startswith("KEY-") for rule_id in rule_ids):
        kind = Kind.BAD_PUBLIC_KEY
    elif all(rule_id.startswith(_NAME_RULES) for rule_id in rule_ids):
        kind = Kind.REJECTED_IDENTIFIER
    else:
        kind = Kind.POLICY_REFUSED
    count = len(violations)
    detail = violations[0].detail if count == 1 else f"{count} rules refuse this request; each is listed"
    return CaError(kind, detail, violations=tuple(violations))
