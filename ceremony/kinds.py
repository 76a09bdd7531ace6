"""What each kind of ceremony must have and may do: a script says what it is, and is held to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.errors import Violation
from ceremony.steps.gates import ApproveGate
from ceremony.steps.hsm import Login
from ceremony.steps.verb import Effect

if TYPE_CHECKING:
    from ceremony.script import Script

MIN_OFFICERS = 3

_SIGNS = frozenset({"document.lint", "gate.approve", "document.sign", "document.check"})
_CERTIFIES = _SIGNS | {"certificate.build"}
_REQUESTS = _SIGNS | {"csr.build"}
_LISTS = _SIGNS | {"crl.build"}
_MAKES = frozenset({"key.generate"})


@dataclass(frozen=True, slots=True)
class KindRule:
    """What one kind is held to.

    `verbs` it cannot do without; `profiles` are the types of certificates that it may make; `approve` are the
    roles that sign every approval, `roles` those that take part.
    """

    verbs: frozenset[str] = frozenset()
    profiles: frozenset[str] = frozenset()
    may_make_keys: bool = False
    may_sign_crls: bool = False
    approve: frozenset[RoleName] = frozenset({RoleName.INTERNAL_WITNESS})
    roles: frozenset[RoleName] = frozenset({RoleName.INTERNAL_WITNESS})


_APPROVE = frozenset({RoleName.KEY_OFFICER, RoleName.INTERNAL_WITNESS})
_CERTIFYING_ROLES = frozenset({RoleName.ADMINISTRATOR, RoleName.KEY_OFFICER, RoleName.INTERNAL_WITNESS})
_ROOT_ROLES = _CERTIFYING_ROLES | {RoleName.EXTERNAL_WITNESS}

# First the kinds that certify; the others are about devices, shares, people and the log.
_RULES: dict[str, KindRule] = {
    "first-hierarchy": KindRule(
        verbs=_CERTIFIES | _LISTS | _MAKES | {"server-key.make"},
        profiles=frozenset({"root", "authority", "responder"}),
        may_make_keys=True,
        may_sign_crls=True,
        approve=_APPROVE,
        roles=_ROOT_ROLES,
    ),
    "root-generate": KindRule(
        verbs=_CERTIFIES | _LISTS | _MAKES,
        profiles=frozenset({"root"}),
        may_make_keys=True,
        may_sign_crls=True,
        approve=_APPROVE,
        roles=_ROOT_ROLES,
    ),
    "subordinate-key": KindRule(
        verbs=_REQUESTS | _MAKES, may_make_keys=True, approve=_APPROVE, roles=_CERTIFYING_ROLES
    ),
    "intermediate-sign": KindRule(
        verbs=_CERTIFIES,
        profiles=frozenset({"authority"}),
        may_make_keys=True,
        approve=_APPROVE,
        roles=_CERTIFYING_ROLES,
    ),
    "cross-csr": KindRule(verbs=_REQUESTS, approve=_APPROVE, roles=_CERTIFYING_ROLES),
    "cross-sign": KindRule(
        verbs=_CERTIFIES, profiles=frozenset({"cross"}), approve=_APPROVE, roles=_CERTIFYING_ROLES
    ),
    "root-crl": KindRule(verbs=_LISTS, may_sign_crls=True, approve=_APPROVE, roles=_CERTIFYING_ROLES),
    "revoke-subordinate": KindRule(
        verbs=_LISTS,
        may_sign_crls=True,
        approve=_APPROVE | {RoleName.INCIDENT_OWNER},
        roles=_CERTIFYING_ROLES | {RoleName.INCIDENT_OWNER},
    ),
    "delegated-signer": KindRule(
        verbs=_CERTIFIES | _MAKES,
        profiles=frozenset({"responder"}),
        may_make_keys=True,
        approve=_APPROVE,
        roles=_CERTIFYING_ROLES,
    ),
    "rotate": KindRule(
        verbs=_CERTIFIES | _LISTS | _MAKES | {"chain.check"},
        profiles=frozenset({"root", "link"}),
        may_make_keys=True,
        may_sign_crls=True,
        approve=_APPROVE,
        roles=_ROOT_ROLES,
    ),
    "compromise-response": KindRule(
        verbs=frozenset({"incident.freeze", "incident.report", "gate.approve"}),
        profiles=frozenset({"root", "authority", "responder", "cross", "link"}),
        may_make_keys=True,
        may_sign_crls=True,
    ),
    "log-epoch": KindRule(verbs=frozenset({"log.reconcile", "gate.approve"}), may_make_keys=True),
    "roster-change": KindRule(verbs=frozenset({"roster.propose", "roster.prove", "gate.approve"})),
    "hsm-init": KindRule(verbs=frozenset({"hsm.initialise"})),
    "key-backup": KindRule(verbs=frozenset({"key.backup"}), may_make_keys=True),
    "key-restore": KindRule(verbs=frozenset({"key.restore"})),
    "share-audit": KindRule(verbs=frozenset({"share.audit"})),
    "re-share": KindRule(verbs=frozenset({"hsm.renew-secret"})),
    "decommission": KindRule(
        verbs=frozenset({"hsm.destroy-keys", "hsm.zeroise", "copies.account", "gate.approve"})
    ),
}
_EVERY_TYPE_NEEDED = frozenset({"first-hierarchy", "rotate"})
# What a device holds before its initialisation and after its erasure needs no list: nothing.
_COUNTED = frozenset({"hsm.inventory", "hsm.initialise", "hsm.zeroise"})


def check_kind(script: Script) -> Iterator[Violation]:
    """What a script lacks of its kind, or does beyond it."""
    rule = _RULES.get(script.kind, KindRule())
    yield from _verbs(script, rule)
    yield from _machine(script)
    yield from _inventories(script)
    yield from _tables(script, rule)
    yield from _roles(script, rule)


def _verbs(script: Script, rule: KindRule) -> Iterator[Violation]:
    verbs = {step.do for step in script.steps}
    for missing in sorted(rule.verbs - verbs):
        yield Violation("CEREMONY-KIND", f"a {script.kind} has a step {missing}", "/steps")
    if "key.generate" in verbs and not rule.may_make_keys:
        yield Violation("CEREMONY-KIND", f"a {script.kind} makes no keys", "/steps")
    if "crl.build" in verbs and not rule.may_sign_crls:
        yield Violation("CEREMONY-KIND", f"a {script.kind} signs no CRL", "/steps")


def _machine(script: Script) -> Iterator[Violation]:
    if script.steps[0].do != "environment.verify":
        yield Violation(
            "CEREMONY-KIND", "the first step is environment.verify: look at the machine", "/steps"
        )


def _inventories(script: Script) -> Iterator[Violation]:
    """Each device that is opened is counted before anything is made or signed in a device, and after it."""
    changing = [
        index
        for index, step in enumerate(script.steps)
        if step.effect is Effect.ONCE and step.do not in _COUNTED
    ]
    for device in sorted({each for step in script.steps if isinstance(step, Login) for each in step.hsm}):
        counted = [
            index
            for index, step in enumerate(script.steps)
            if step.do in _COUNTED and getattr(step, "hsm", None) == device
        ]
        if not counted or (changing and not counted[0] < changing[0] <= changing[-1] < counted[-1]):
            detail = f"an hsm.inventory of '{device}' comes before all keys and signatures, and one after"
            yield Violation("CEREMONY-KIND", detail, "/steps")


def _tables(script: Script, rule: KindRule) -> Iterator[Violation]:
    types = {profile.type for profile in script.profiles.values()}
    for beyond in sorted(types - rule.profiles):
        yield Violation("CEREMONY-KIND", f"a {script.kind} makes no {beyond} certificate", "/profiles")
    needed = rule.profiles if script.kind in _EVERY_TYPE_NEEDED else frozenset()
    for missing in sorted(needed - types):
        yield Violation("CEREMONY-KIND", f"a {script.kind} makes a {missing} certificate", "/profiles")
    if script.kind == "first-hierarchy":
        yield from _whole_hierarchy(script)
    revokes = [each for crl in script.crls.values() for each in crl.revoke]
    emergency = any(crl.emergency for crl in script.crls.values())
    if script.kind == "revoke-subordinate":
        if not revokes:
            yield Violation("CEREMONY-KIND", "a revoke-subordinate revokes something", "/crls")
        if not emergency and script.policy.change is None:
            detail = "name the change that was announced, or say emergency = true at the CRL"
            yield Violation("CEREMONY-KIND", detail, "/policy/change")
    elif (revokes or emergency) and script.kind != "compromise-response":
        yield Violation("CEREMONY-KIND", f"a {script.kind} revokes nothing", "/crls")


def _whole_hierarchy(script: Script) -> Iterator[Violation]:
    """What a server starts with: one root, a responder for each authority, the log and the server's key."""
    profiles = script.profiles.values()
    if sum(each.type == "root" for each in profiles) != 1:
        yield Violation("CEREMONY-KIND", "a first-hierarchy has one root", "/profiles")
    answered = [each.issuer for each in profiles if each.type == "responder"]
    for name, profile in script.profiles.items():
        if profile.type == "authority" and answered.count(name) != 1:
            detail = f"authority '{name}' needs exactly one responder"
            yield Violation("CEREMONY-RESPONDER", detail, f"/profiles/{name}")
    if script.log is None or script.api_server is None:
        yield Violation("CEREMONY-KIND", "a first-hierarchy has [log] and [api_server]", "")


def _roles(script: Script, rule: KindRule) -> Iterator[Violation]:
    for role in sorted(rule.roles - script.roles.keys()):
        yield Violation("CEREMONY-ROLE", f"a {script.kind} has the role {role}", "/roles")
    if sum(role.quorum for role in script.roles.values()) < MIN_OFFICERS:
        detail = f"at least {MIN_OFFICERS} people take part in a ceremony"
        yield Violation("CEREMONY-ROLE", detail, "/roles")
    signs_root = rule.roles >= _ROOT_ROLES
    if signs_root and RoleName.KEY_OFFICER in script.roles and script.roles[RoleName.KEY_OFFICER].quorum < 2:
        yield Violation("CEREMONY-ROLE", "a root's key is made by two key-officers or more", "/roles")
    for index, step in enumerate(script.steps):
        missing = rule.approve - set(step.sign_by) if isinstance(step, ApproveGate) else frozenset()
        for role in sorted(missing):
            yield Violation("CEREMONY-ROLE", f"{role} signs every approval", f"/steps/{index}/sign_by")
