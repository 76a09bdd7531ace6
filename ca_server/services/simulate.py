"""Tries a proposed profile on the requests of the past, and shows what would have come out differently."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509

from ca_server.core.clock import from_epoch, to_epoch, to_text
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError
from ca_server.core.extensions import extensions_of
from ca_server.core.policy import CertificateFields, Facts, IssuerFacts
from ca_server.core.profile import Profile
from ca_server.core.site import SiteRules
from ca_server.services.context import Context
from ca_server.services.replay import replay
from ca_server.store.approvals import count_approved
from ca_server.store.requests import PastRequest, compromised_keys, requests_since

# Counts are always whole; of each kind of difference so many are shown.
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Trial:
    """A proposed profile, and what else decides; `in_force` is the profile it would replace, if any."""

    proposed: Profile
    in_force: Profile | None
    site: SiteRules
    debian_weak_keys: Collection[str]
    issuer: IssuerFacts
    own_keys: Collection[str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One request: what became of it (`was`), what would (`would`), and why or in which fields."""

    request_id: str
    time: str
    principal: str
    was: str
    would: str
    rule_ids: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """How many requests were replayed, and those that would end differently."""

    profile: str
    replayed: int = 0
    unchanged: int = 0
    now_refused: int = 0
    now_issued: int = 0
    now_pending: int = 0
    now_different: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference | None) -> None:
        """Count one replayed request, and keep it if there is room."""
        self.replayed += 1
        if difference is None:
            self.unchanged += 1
            return
        if difference.would == "refused":
            self.now_refused += 1
        elif difference.would == "pending":
            self.now_pending += 1
        elif difference.was != "issued":
            self.now_issued += 1
        else:
            self.now_different += 1
        if len(self.differences) < MAX_SHOWN:
            self.differences.append(difference)


def simulate(context: Context, trial: Trial, since: datetime) -> Report:
    """Replay every request since then, each at its own time, under today's issuer and compromise list.

    Nothing is written, and nothing is signed.

    Raises:
        CaError: unavailable, the database is away.
    """
    report = Report(trial.proposed.name)
    with context.database.read() as connection:
        compromised = compromised_keys(connection)
        approved = count_approved(connection)
        past = requests_since(connection, profile=trial.proposed.name, created_at=to_epoch(since))
        for request in past:
            report.add(_replay(trial, _Past(request, approved.get(request.id, 0)), compromised))
    return report


@dataclass(frozen=True, slots=True)
class _Past:
    """A request, and how many officers have approved it."""

    request: PastRequest
    approvals: int

    @property
    def outcome(self) -> str:
        """What policy made of it; what officers made of it afterwards is not for a profile to change."""
        if self.request.status == "refused" and "APPROVAL-EXPIRED" not in self.request.rule_ids:
            return "refused"
        waits = self.request.status in {"pending", "rejected", "refused"}
        return "pending" if waits else "issued"


def _replay(trial: Trial, past: _Past, compromised: Collection[str]) -> Difference | None:
    was, request = past.outcome, past.request
    granted = _decide(trial.proposed, trial, past, compromised)
    if isinstance(granted, CaError):
        would = "pending" if granted.rule_ids == ("PROFILE-APPROVALS",) else "refused"
        return None if was == would else _difference(request, was, would, rule_ids=granted.rule_ids)
    if was != "issued":
        return _difference(request, was, "issued", rule_ids=request.rule_ids)
    before = _decide(trial.in_force, trial, past, compromised) if trial.in_force else None
    if not isinstance(before, CertificateFields):
        return None
    old, new = _describe(before, trial.issuer), _describe(granted, trial.issuer)
    changed = tuple(name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name))
    return _difference(request, was, "issued", fields=changed) if changed else None


def _decide(
    profile: Profile, trial: Trial, past: _Past, compromised: Collection[str]
) -> CertificateFields | CaError:
    try:
        csr = parse_csr(past.request.csr_der)
        facts = Facts(
            now=from_epoch(past.request.created_at),
            issuer=trial.issuer,
            site=trial.site,
            compromised=csr.spki_sha256 in compromised,
            own_key=csr.spki_sha256 in trial.own_keys,
            debian_weak_keys=trial.debian_weak_keys,
            approvals=past.approvals,
        )
        return replay(csr, past.request, profile, facts)
    except CaError as refusal:
        return refusal


def _describe(fields: CertificateFields, issuer: IssuerFacts) -> dict[str, Any]:
    described: dict[str, Any] = {
        "subject": fields.subject,
        "names": fields.identifiers,
        "not_before": fields.not_before,
        "not_after": fields.not_after,
    }
    for extension in extensions_of(fields, issuer):
        described[_name_of(extension)] = (extension.critical, extension.value)
    return described


def _name_of(extension: x509.Extension[x509.ExtensionType]) -> str:
    return type(extension.value).__name__


def _difference(
    request: PastRequest,
    was: str,
    would: str,
    *,
    rule_ids: tuple[str, ...] = (),
    fields: tuple[str, ...] = (),
) -> Difference:
    time = to_text(from_epoch(request.created_at))
    return Difference(request.id, time, request.principal_id, was, would, rule_ids, fields)
