"""Decides a stored request once more: under a proposed profile, or before an old intent is signed."""

from __future__ import annotations

from datetime import datetime

from ca_server.core.acme.resources import PROTOCOL as ACME
from ca_server.core.authorization import Authorization, Principal, Role
from ca_server.core.clock import from_text
from ca_server.core.csr import Csr, named_by_subject
from ca_server.core.est.resources import PROTOCOL as EST
from ca_server.core.identifiers import parse_identifier
from ca_server.core.policy import CertificateFields, Facts, decide
from ca_server.core.profile import Profile
from ca_server.store.requests import PastRequest

# Their clients put a DNS name into the common name alone; a CSR for REST is written with care.
_NAMED_BY_SUBJECT = frozenset({ACME, EST})


def replay(csr: Csr, request: PastRequest, profile: Profile, facts: Facts) -> CertificateFields:
    """What the policy gives for a stored request; `facts.now` is the time at which it is decided.

    Raises:
        CaError: the policy refuses it, with every broken rule.
    """
    requested = request.requested
    return decide(
        named_by_subject(csr) if request.protocol in _NAMED_BY_SUBJECT else csr,
        _authorization(profile, request),
        profile,
        facts,
        not_before=_time(requested["not_before"]),
        not_after=_time(requested["not_after"]),
    )


def _authorization(profile: Profile, request: PastRequest) -> Authorization:
    """What the door authorized then. It has no seal: good for thinking alone, the gate would refuse it."""
    requested = request.requested
    return Authorization(
        protocol=request.protocol,
        principal=Principal(request.principal_id, Role(requested["role"]), "replay"),
        profile=profile.name,
        identifiers=frozenset(parse_identifier(text) for text in requested["identifiers"]),
        seal=b"",
    )


def _time(text: str | None) -> datetime | None:
    return from_text(text) if text else None
