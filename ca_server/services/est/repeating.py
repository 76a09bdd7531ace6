"""What the same CSR stands for when it is sent again: the certificate that it led to, while that is good.

EST has no idempotency key, so the CSR is one. Some devices keep their CSR and send it again years later;
then the certificate that it once led to is of no use, and it stands for a new request.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ca_server.core.authorization import Principal
from ca_server.core.csr import Csr
from ca_server.core.profile import Profile
from ca_server.services.certificate_request import Idempotency
from ca_server.services.context import Context
from ca_server.store import inventory
from ca_server.store.inventory import CertificateStatus
from ca_server.store.issuance import find_idempotency_key

# Of these the same request is told again how it stands; a certificate's own end is looked at besides.
_STANDING = frozenset({"intent", "pending", "rejected"})
_OVER = frozenset({CertificateStatus.EXPIRED, CertificateStatus.REVOKED})


@dataclass(frozen=True, slots=True)
class Asked:
    """How the gate knows a request, and whether nothing has come of its like yet."""

    idempotency: Idempotency
    is_new: bool


def find_asked(context: Context, principal: Principal, profile: Profile, csr: Csr) -> Asked:
    """Whether this principal has sent this CSR for this profile before, and it still counts.

    Raises:
        CaError: unavailable, the database is away.
    """
    digest = hashlib.sha256(csr.der).hexdigest()
    key = _key(profile.name, digest)
    now = context.clock.now()
    with context.database.read() as connection:
        while known := find_idempotency_key(connection, principal.id, key):
            request = inventory.find_request(connection, known[1])
            if request is not None and request.certificate_id is not None:
                found = inventory.find_certificate(connection, request.certificate_id)
                is_standing = found is not None and found.status(now) not in _OVER
            else:
                is_standing = request is not None and request.status in _STANDING
            if is_standing:
                return Asked(Idempotency(key, digest), is_new=False)
            key = _key(key, known[1])
    return Asked(Idempotency(key, digest), is_new=True)


def _key(*parts: str) -> str:
    """As long as every other, whatever it stands for: the column has a bound."""
    return f"est:{hashlib.sha256(':'.join(parts).encode()).hexdigest()}"
