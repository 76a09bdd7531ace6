"""What the lane writes before and after a key is used: T1 and T2 as whole batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from cryptography import x509

from ca_server.core.acme.resources import PROTOCOL
from ca_server.core.assemble import assemble_certificate
from ca_server.core.audit.record import Actor, Event
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import Identifier, identifier_of
from ca_server.core.signatures import PublicKey, spki_sha256
from ca_server.services.acme.claims import OrderClaim, take_orders
from ca_server.services.context import Context
from ca_server.services.est.claims import EnrolmentClaim, take_enrolments
from ca_server.store.approvals import take_pending
from ca_server.store.issuance import (
    AlreadySettled,
    StoredCertificate,
    StoredIdempotencyKey,
    StoredIntent,
    StoredRequest,
    find_issued,
    insert_intents,
    is_compromised,
    settle_intents,
    stored_names,
)
from ca_server.store.orders import complete_orders
from ca_server.store.unit_of_work import BrokenRule


@dataclass(frozen=True, slots=True)
class NewIntent:
    """What T1 stores with an intent that is not in the database yet; a request that `waited` is in it."""

    request: StoredRequest
    event: Event
    key: StoredIdempotencyKey | None
    claim: OrderClaim | EnrolmentClaim | None = None
    waited: bool = False


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """What lists and searches show of a certificate; lints have held it against the bytes to be signed."""

    subject: str
    names: str
    spki_sha256: str
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class LaneEntry:
    """One certificate on its way; `new` is None where the intent was stored earlier."""

    intent: StoredIntent
    actor: Actor
    principal_id: str
    protocol: str
    summary: CertificateSummary
    new: NewIntent | None


@dataclass(frozen=True, slots=True)
class Signed:
    """An entry and the signature over its TBS, verified."""

    entry: LaneEntry
    signature: bytes


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that is stored and logged, and so may leave."""

    request_id: str
    certificate_id: str
    serial_number: str
    authority_id: str
    der: bytes


class KeyReported(BrokenRule):
    """A key came onto the compromise list between the decision and T1."""


class Outcomes:
    """Writes intents and certificates with their events, in whole batches."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def store_intents(self, entries: Sequence[LaneEntry]) -> None:
        """T1 for those of a batch that are new.

        Raises:
            BrokenRule: a serial number or idempotency key is taken; nothing was stored.
            KeyReported: a key of the batch is on the compromise list by now; nothing was stored.
            OrderTaken: an ACME order is not ready (any more); nothing was stored.
            SecretSpent: an enrolment secret has no use left; nothing was stored.
            RequestTaken: a request waits for officers no more; nothing was stored.
            CaError: unavailable, the database is away.
        """
        new = [(entry.intent, entry.new) for entry in entries if entry.new]
        if not new:
            return
        with self._context.database.write() as unit:
            # The key may have been reported since the gate looked; after T1 an outcome is owed.
            if any(is_compromised(unit.connection, entry.summary.spki_sha256) for entry in entries):
                raise KeyReported
            take_pending(unit, [each.request.id for _, each in new if each.waited])
            insert_intents(
                unit,
                [each.request for _, each in new if not each.waited],
                [intent for intent, _ in new],
                [each.key for _, each in new if each.key],
            )
            claims = [(each.claim, intent) for intent, each in new]
            take_orders(unit, [(claim, intent) for claim, intent in claims if isinstance(claim, OrderClaim)])
            take_enrolments(
                unit, [(claim, intent) for claim, intent in claims if isinstance(claim, EnrolmentClaim)]
            )
            unit.commit(*(each.event for _, each in new))

    def store_certificates(self, batch: Sequence[Signed]) -> list[IssuedCertificate | CaError]:
        """T2: certificates and `issue.done` events; one answer for each, in the batch's order.

        Where somebody else settled an intent first, that certificate is the answer and ours is dropped.
        Where the database is away the answer is its error, and the intent stays open.
        """
        try:
            return list(self._store(batch))
        except AlreadySettled:
            if len(batch) > 1:
                return [self.store_certificates([each])[0] for each in batch]
            return [self._settled_by_another(batch[0].entry.intent)]
        except CaError as error:
            return [error] * len(batch)

    def _store(self, batch: Sequence[Signed]) -> list[IssuedCertificate]:
        events: list[Event] = []
        rows: list[StoredCertificate] = []
        for each in batch:
            der = assemble_certificate(each.entry.intent.tbs, each.signature)
            certificate_id = hashlib.sha256(der).hexdigest()
            events.append(self._done(each.entry, certificate_id))
            rows.append(_row(each.entry, der, certificate_id, events[-1].event_id))
        with self._context.database.write() as unit:
            settle_intents(unit, rows, [each.entry.intent.request_id for each in batch])
            ordered = {
                each.entry.intent.request_id: row.id
                for each, row in zip(batch, rows, strict=True)
                if each.entry.protocol == PROTOCOL
            }
            if ordered:
                complete_orders(unit, ordered)
            unit.commit(*events)
        return [
            IssuedCertificate(
                request_id=each.entry.intent.request_id,
                certificate_id=row.id,
                serial_number=row.serial_number,
                authority_id=row.authority_id,
                der=row.der,
            )
            for each, row in zip(batch, rows, strict=True)
        ]

    def _done(self, entry: LaneEntry, certificate_id: str) -> Event:
        intent = entry.intent
        data = {
            "authority": intent.authority_id,
            "serial": intent.serial_number,
            "tbs_sha256": intent.tbs_sha256,
            "cert_sha256": certificate_id,
        }
        return self._context.event("issue.done", entry.actor, data, ref=intent.event_id)

    def _settled_by_another(self, intent: StoredIntent) -> IssuedCertificate | CaError:
        try:
            found = read_issued(self._context, intent.request_id)
        except CaError as error:
            return error
        return found or CaError(Kind.CONFLICT, "this request was given up; send it again with a new key")


def read_issued(context: Context, request_id: str) -> IssuedCertificate | None:
    """The certificate that a request led to, or None while there is none."""
    with context.database.read() as connection:
        found = find_issued(connection, request_id)
    if found is None:
        return None
    return IssuedCertificate(
        request_id=request_id,
        certificate_id=found["id"],
        serial_number=found["serial_number"],
        authority_id=found["authority_id"],
        der=found["der"],
    )


def summarize(tbs: bytes) -> CertificateSummary:
    """The summary of a certificate that is only known by the bytes to be signed."""
    certificate = x509.load_der_x509_certificate(assemble_certificate(tbs, b"\x00"))
    public_key = cast("PublicKey", certificate.public_key())
    return CertificateSummary(
        subject=certificate.subject.rfc4514_string(),
        names=stored_names(_names(certificate)),
        spki_sha256=spki_sha256(public_key),
        not_before=to_epoch(certificate.not_valid_before_utc),
        not_after=to_epoch(certificate.not_valid_after_utc),
    )


def _row(entry: LaneEntry, der: bytes, certificate_id: str, event_id: str) -> StoredCertificate:
    summary = entry.summary
    return StoredCertificate(
        id=certificate_id,
        authority_id=entry.intent.authority_id,
        serial_number=entry.intent.serial_number,
        issued_event_id=event_id,
        profile=entry.intent.profile,
        principal_id=entry.principal_id,
        protocol=entry.protocol,
        subject=summary.subject,
        names=summary.names,
        spki_sha256=summary.spki_sha256,
        not_before=summary.not_before,
        not_after=summary.not_after,
        der=der,
    )


def _names(certificate: x509.Certificate) -> list[Identifier]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [identifier_of(name) for name in extension.value]
