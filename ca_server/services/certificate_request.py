"""A request for a certificate: as a door hands it to the gate, and with the row that is kept of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ca_server.core.authorization import Authorization
from ca_server.core.clock import to_epoch, to_text
from ca_server.core.csr import Csr
from ca_server.core.rates import Rate
from ca_server.services.acme.claims import OrderClaim
from ca_server.services.context import new_id
from ca_server.services.est.claims import EnrolmentClaim
from ca_server.services.pending import Waiting
from ca_server.store.issuance import StoredIdempotencyKey, StoredRequest


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key, and the digest of the request that it stands for."""

    key: str
    request_sha256: str


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a door hands to the gate once the protocol has authorized it.

    `claim` is the ACME order or the enrolment that it is made for, taken together with the intent.
    `refusals` is of how many refusals of its principal something is kept; None is of all.
    `retry_after` is in how many seconds to ask again where it has to wait for officers.
    """

    csr: Csr
    authorization: Authorization
    not_before: datetime | None = None
    not_after: datetime | None = None
    idempotency: Idempotency | None = None
    claim: OrderClaim | EnrolmentClaim | None = None
    refusals: Rate | None = None
    retry_after: int = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its row, which is in the database already where it is `waiting`."""

    request: CertificateRequest
    stored: StoredRequest
    waiting: Waiting | None

    @property
    def key(self) -> StoredIdempotencyKey | None:
        """The idempotency key as it is to be stored with the row."""
        given = self.request.idempotency
        if given is None or self.waiting is not None:
            return None
        stored = self.stored
        return StoredIdempotencyKey(
            stored.principal_id, given.key, given.request_sha256, stored.id, stored.created_at
        )

    @property
    def can_wait(self) -> bool:
        """Whether it would be found again once officers have decided; an ACME order waits in no other way."""
        return self.request.idempotency is not None and not isinstance(self.request.claim, OrderClaim)

    @property
    def is_unchanged(self) -> bool:
        """Whether what waits is what is asked for now: the same CSR, names, times and everything else."""
        first = self.waiting.request if self.waiting else None
        return first is None or all(
            getattr(first, each) == getattr(self.stored, each) for each in StoredRequest.__dataclass_fields__
        )


def asked_at(request: CertificateRequest, now: datetime, waiting: Waiting | None) -> Asked:
    """The request with its row: that of the first time where it has waited, else a new one."""
    authorization, claim = request.authorization, request.claim
    secret_id = claim.secret_id if isinstance(claim, EnrolmentClaim) else None
    stored = StoredRequest(
        id=new_id(now),
        created_at=to_epoch(now),
        protocol=authorization.protocol,
        principal_id=authorization.principal.id,
        profile=authorization.profile,
        csr_der=request.csr.der,
        requested={
            "identifiers": sorted(str(each) for each in authorization.identifiers),
            "not_after": request.not_after and to_text(request.not_after),
            "not_before": request.not_before and to_text(request.not_before),
            "role": authorization.principal.role,
            **({"secret": secret_id} if secret_id else {}),
        },
    )
    if waiting is not None:
        stored = replace(stored, id=waiting.request.id, created_at=waiting.request.created_at)
    return Asked(request, stored, waiting)
