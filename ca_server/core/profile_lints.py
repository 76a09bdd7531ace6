"""What is dangerous in a profile though every key of it is well-formed (R30, R40).

Modelled on the ways in which certificate templates of others were abused: an identity of the requester's
own choosing, a purpose that fits everything, an authority for the asking, an agent for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from ca_server.core.authorization import Role
from ca_server.core.identifiers import IdentifierType
from ca_server.core.lints import Finding, Severity
from ca_server.core.profile import FixedAttribute, Profile
from ca_server.core.signatures import KeyType

ENROLMENT_AGENT = "1.3.6.1.4.1.311.20.2.1"
# What lets its holder act as somebody: log in, sign code or mail, answer for an authority.
_IDENTITY_PURPOSES = frozenset(
    {"any", "client_auth", "code_signing", "email_protection", "kerberos_kdc", "smartcard_logon"}
)
_LONG_LIFE = timedelta(days=398)
# Types whose patterns cannot be narrowed to a domain and which other software takes for log-in names.
_OPAQUE = (IdentifierType.DIRECTORY, IdentifierType.OTHER, IdentifierType.REGISTERED_ID)


def lint_profile(profile: Profile, issuer_life: timedelta | None = None) -> tuple[Finding, ...]:
    """What an officer should know before approving a profile; errors mean that it should not be used.

    `issuer_life` is how long the issuing authority still lives, where that is known.
    """
    checks = (_identity, _purposes, _authority, _responder, _names, _keys)
    findings = [finding for check in checks for finding in check(profile)]
    if issuer_life is not None and profile.validity.default > issuer_life:
        days = issuer_life.days
        detail = f"default validity is longer than the {days} days that the issuing authority still lives"
        findings.append(Finding(Severity.WARNING, "TEMPLATE-OUTLIVES", detail))
    return tuple(findings)


def _identity(profile: Profile) -> Iterator[Finding]:
    """Free text from the CSR that software may take for who somebody is (ESC1)."""
    free = [
        word
        for word, rule in profile.subject.items()
        if not isinstance(rule, FixedAttribute) and not rule.names and "*" in rule.allow
    ]
    asked_by_many = Role.REQUESTER in profile.requesters.roles and not profile.requesters.approvals
    if free and asked_by_many and _IDENTITY_PURPOSES.intersection(profile.extensions.extended_key_usage):
        yield Finding(
            Severity.ERROR,
            "TEMPLATE-IDENTITY",
            f"requesters choose {', '.join(free)} freely for a certificate that proves who they are; "
            "bind it with names or allow, or leave it to officers",
        )


def _purposes(profile: Profile) -> Iterator[Finding]:
    purposes = profile.extensions.extended_key_usage
    if "any" in purposes:
        yield Finding(Severity.ERROR, "TEMPLATE-ANY-PURPOSE", "purpose 'any' is good for everything (ESC2)")
    if not purposes and not profile.extensions.ca:
        yield Finding(
            Severity.ERROR, "TEMPLATE-ANY-PURPOSE", "no purpose at all is good for everything (ESC2)"
        )
    if ENROLMENT_AGENT in purposes:
        severity = Severity.WARNING if profile.requesters.approvals else Severity.ERROR
        yield Finding(severity, "TEMPLATE-AGENT", "an enrolment agent asks on behalf of anybody (ESC3)")
    if "server_auth" in purposes and "code_signing" in purposes:
        yield Finding(
            Severity.WARNING, "TEMPLATE-MIXED", "a server's key should not sign code; make two profiles"
        )


def _authority(profile: Profile) -> Iterator[Finding]:
    rules = profile.extensions
    if not rules.ca:
        return
    if not profile.requesters.approvals:
        yield Finding(
            Severity.ERROR, "TEMPLATE-AUTHORITY", "an authority below ours is made without approvals"
        )
    if Role.REQUESTER in profile.requesters.roles:
        yield Finding(Severity.ERROR, "TEMPLATE-AUTHORITY", "requesters may ask for an authority")
    if rules.path_length is None:
        yield Finding(
            Severity.ERROR, "TEMPLATE-AUTHORITY", "path_length is open, so it may make authorities of its own"
        )
    if rules.name_constraints is None:
        yield Finding(Severity.NOTICE, "TEMPLATE-AUTHORITY", "without name_constraints it may name anybody")


def _responder(profile: Profile) -> Iterator[Finding]:
    rules = profile.extensions
    if "ocsp_signing" in rules.extended_key_usage and Role.REQUESTER in profile.requesters.roles:
        yield Finding(
            Severity.ERROR, "TEMPLATE-RESPONDER", "requesters may ask for a key that says who is revoked"
        )
    if rules.ocsp_nocheck and "ocsp_signing" not in rules.extended_key_usage:
        yield Finding(
            Severity.ERROR, "TEMPLATE-RESPONDER", "ocsp_nocheck on others hides that they were revoked"
        )
    if not (rules.crl_distribution_point or rules.ocsp or rules.ocsp_nocheck):
        yield Finding(Severity.ERROR, "TEMPLATE-STATUS", "nobody could see that a certificate was revoked")


def _names(profile: Profile) -> Iterator[Finding]:
    names = profile.names
    if names.wildcard and names.dns and "**" in names.dns.allow:
        yield Finding(
            Severity.NOTICE,
            "TEMPLATE-WILDCARD",
            "wildcards are allowed under every domain; only a proof by DNS or a credential bounds them",
        )
    for kind in _OPAQUE:
        if (rules := names.of_type(kind)) and {"*", "**"}.intersection(rules.allow):
            yield Finding(
                Severity.ERROR, "TEMPLATE-OPAQUE", f"every {kind} name is allowed, log-in names too (ESC9)"
            )


def _keys(profile: Profile) -> Iterator[Finding]:
    if profile.validity.max > _LONG_LIFE and KeyType.RSA_2048 in profile.keys.allowed:
        yield Finding(
            Severity.NOTICE, "TEMPLATE-LONG-LIFE", "rsa-2048 for years; SP 800-57 ends it after 2030"
        )
