"""Uses enrolment secrets up in the transaction that stores the intents: a second taker finds none left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ca_server.core.est.resources import Renewal
from ca_server.store.enrolments import insert_enrolment
from ca_server.store.issuance import StoredIntent
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class EnrolmentClaim:
    """What a certificate is enrolled with: a secret, the certificate that it renews, both or neither."""

    secret_id: str | None = None
    renewal: Renewal | None = None

    @property
    def told(self) -> dict[str, str]:
        """What the event of the issuance says of it."""
        found = {"secret": self.secret_id, "renews": self.renewal and self.renewal.predecessor}
        return {name: value for name, value in found.items() if value}


def take_enrolments(unit: UnitOfWork, claims: Sequence[tuple[EnrolmentClaim, StoredIntent]]) -> None:
    """Store the enrolments of a batch; in the order of their secrets, so that no two batches wait in a ring.

    Raises:
        SecretSpent: one of the secrets cannot be used (any more); the caller leaves without a commit.
    """
    for claim, intent in sorted(claims, key=lambda each: (each[0].secret_id or "", each[1].request_id)):
        insert_enrolment(
            unit,
            intent.request_id,
            secret_id=claim.secret_id,
            renewal=claim.renewal,
            now=intent.created_at,
        )
