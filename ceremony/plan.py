"""From a script to its steps, everything that can be known beforehand checked before any HSM opens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from ca_server.core.bundle import certificate_path, crl_path, responder_path
from ceremony.certificates import issuing_extensions, responder_extensions, root_extensions
from ceremony.references import check_references
from ceremony.room import Step
from ceremony.script import IssuingAuthority, Key, Responder, Script, parse_script
from ceremony.steps.generate_key import GenerateKey
from ceremony.steps.make_server_key import MakeServerKey
from ceremony.steps.sign_certificate import SignCertificate
from ceremony.steps.sign_crl import SignCRL
from ceremony.validity import Period, period_of
from ceremony.validity_rules import check_validities


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked script and what it comes to today; the digest is of the bytes that the officers read."""

    source: bytes
    script: Script
    now: datetime
    steps: tuple[Step, ...]

    @property
    def sha256(self) -> str:
        """The script's digest, to be compared before the ceremony begins."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def keys(self) -> tuple[GenerateKey, ...]:
        """The steps that make keys in tokens."""
        return tuple(step for step in self.steps if isinstance(step, GenerateKey))


def make_plan(source: bytes, now: datetime) -> Plan:
    """The plan of a script for this moment.

    Raises:
        CaError: malformed, one `CEREMONY-…` rule for each thing that is wrong.
    """
    script = parse_script(source)
    check_references(script)
    check_validities(script, now)
    steps: list[Step] = [_generate(script, alias, key) for alias, key in script.keys.items()]
    steps.append(_sign_root(script, now))
    steps += [_sign_issuing(script, authority, now) for authority in script.issuing]
    steps += [_sign_responder(script, responder, now) for responder in script.responders]
    steps.append(_sign_crl(script, now))
    server = script.api_server
    steps.append(MakeServerKey("api-server", server.key_type, server.dns_names, server.ip_addresses))
    return Plan(source, script, now, tuple(steps))


def _generate(script: Script, alias: str, key: Key) -> GenerateKey:
    return GenerateKey(f"key.{alias}", script.id, alias, key.token, key.type, key.label)


def _sign_root(script: Script, now: datetime) -> SignCertificate:
    root = script.root
    return SignCertificate(
        id=f"authority.{root.id}",
        path=certificate_path(root.id),
        subject=root.subject.name(),
        key=root.key,
        issuer=None,
        issuer_key=root.key,
        issuer_token=script.keys[root.key].token,
        period=period_of(root, now),
        extensions=root_extensions(root),
    )


def _sign_issuing(script: Script, authority: IssuingAuthority, now: datetime) -> SignCertificate:
    root = script.root
    return SignCertificate(
        id=f"authority.{authority.id}",
        path=certificate_path(authority.id),
        subject=authority.subject.name(),
        key=authority.key,
        issuer=certificate_path(root.id),
        issuer_key=root.key,
        issuer_token=script.keys[root.key].token,
        period=period_of(authority, now),
        extensions=issuing_extensions(authority, root.id, script.publication),
    )


def _sign_responder(script: Script, responder: Responder, now: datetime) -> SignCertificate:
    authority = next(each for each in script.issuing if each.id == responder.authority)
    return SignCertificate(
        id=f"responder.{responder.authority}",
        path=responder_path(responder.authority),
        subject=responder.subject.name(),
        key=responder.key,
        issuer=certificate_path(authority.id),
        issuer_key=authority.key,
        issuer_token=script.keys[authority.key].token,
        period=period_of(responder, now),
        extensions=responder_extensions(authority.id, script.publication),
    )


def _sign_crl(script: Script, now: datetime) -> SignCRL:
    root = script.root
    return SignCRL(
        id=f"crl.{root.id}",
        path=crl_path(root.id),
        issuer=certificate_path(root.id),
        issuer_key=root.key,
        period=Period(now, now + root.crl.lifetime),
    )
