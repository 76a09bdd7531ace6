"""Enrolments as they are kept: which secret a certificate was asked for with, and which one it renews."""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, bindparam, insert, literal_column, select, update

from ca_server.core.est.resources import Renewal
from ca_server.store.est_tables import enrolment, enrolment_secret
from ca_server.store.prepared import Prepared
from ca_server.store.tables import certificate, issuance_intent
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork


class SecretSpent(BrokenRule):
    """The enrolment secret has no use left, was revoked or has just ended."""


_COLUMNS = ("request_id", "secret_id", "predecessor_id", "renewals", "first_at")
_INSERT = Prepared(insert(enrolment), _COLUMNS)
_SPEND = Prepared(
    update(enrolment_secret)
    .where(
        enrolment_secret.c.id == bindparam("secret"),
        enrolment_secret.c.revoked_at.is_(None),
        enrolment_secret.c.not_after >= bindparam("now", type_=BigInteger),
        enrolment_secret.c.uses < enrolment_secret.c.max_uses,
    )
    .values(uses=enrolment_secret.c.uses + literal_column("1"))
)
_FIND_CHAIN = Prepared(
    select(enrolment.c.renewals, enrolment.c.first_at)
    .join(issuance_intent, issuance_intent.c.request_id == enrolment.c.request_id)
    .join(
        certificate,
        (certificate.c.authority_id == issuance_intent.c.authority_id)
        & (certificate.c.serial_number == issuance_intent.c.serial_number),
    )
    .where(certificate.c.id == bindparam("certificate"))
)


def insert_enrolment(
    unit: UnitOfWork, request_id: str, *, secret_id: str | None, renewal: Renewal | None, now: int
) -> None:
    """Store with an intent what the certificate was asked for with; a secret is used once by it.

    Raises:
        SecretSpent: it cannot be used (any more); the caller leaves without a commit.
    """
    if secret_id is not None and _SPEND.run(unit.connection, {"secret": secret_id, "now": now}) != 1:
        raise SecretSpent
    row = {
        "request_id": request_id,
        "secret_id": secret_id,
        "predecessor_id": renewal and renewal.predecessor,
        "renewals": renewal.number if renewal else 0,
        "first_at": renewal.first_at if renewal else now,
    }
    _INSERT.run(unit.connection, row)


def find_chain(connection: Connection, certificate_id: str) -> tuple[int, int] | None:
    """How often a certificate's chain was renewed and when it began; None where it did not come over EST."""
    found = _FIND_CHAIN.first(connection, {"certificate": certificate_id})
    return (found[0], found[1]) if found else None
