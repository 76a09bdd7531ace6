"""Reads what was issued and asked for: pages of rows, and one row whole. Nothing here writes.

Pages follow a key, never an offset, so that page 10,000 costs what page 1 costs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, select, tuple_

from ca_server.core.clock import from_epoch, to_epoch
from ca_server.store.prepared import Prepared
from ca_server.store.requests import IS_PENDING
from ca_server.store.tables import certificate, certificate_request, issuance_intent, revocation

# A certificate without its DER, and its revocation while one is in force.
_COLUMNS = (
    *(column for column in certificate.c if column is not certificate.c.der),
    revocation.c.revoked_at,
    revocation.c.reason,
)
_CERTIFICATES = select(*_COLUMNS).select_from(
    certificate.outerjoin(
        revocation,
        and_(
            revocation.c.authority_id == certificate.c.authority_id,
            revocation.c.serial_number == certificate.c.serial_number,
            revocation.c.released_at.is_(None),
        ),
    )
)
_NAMES = tuple(column.name for column in (*_COLUMNS, certificate.c.der))

# Both are asked for each client certificate at each request, the second of every authority above it too.
_FIND = Prepared(
    _CERTIFICATES.add_columns(certificate.c.der).where(certificate.c.id == bindparam("certificate"))
)
_FIND_REVOCATION = Prepared(
    select(revocation.c.serial_number).where(
        revocation.c.authority_id == bindparam("authority"),
        revocation.c.serial_number == bindparam("number"),
        revocation.c.released_at.is_(None),
    )
)


class CertificateStatus(StrEnum):
    """What a relying party should make of a certificate now; revoked outlives expired."""

    VALID = "valid"
    EXPIRED = "expired"
    HELD = "held"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate and whether it was revoked; `der` is kept out of pages and read with one row."""

    number: int
    id: str
    authority_id: str
    serial_number: str
    profile: str
    principal_id: str
    protocol: str
    subject: str
    names: tuple[str, ...]
    spki_sha256: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    revocation_reason: str | None
    der: bytes = b""

    def status(self, now: datetime) -> CertificateStatus:
        """The certificate's standing at a time."""
        if self.revoked_at is not None:
            held = self.revocation_reason == "certificateHold"
            return CertificateStatus.HELD if held else CertificateStatus.REVOKED
        return CertificateStatus.EXPIRED if now > self.not_after else CertificateStatus.VALID


@dataclass(frozen=True, slots=True)
class CertificateFilter:
    """What a page of certificates is narrowed to; None narrows nothing.

    `name` is a whole identifier such as `dns:www.example.com`; `subject` is a part of the subject's text.
    """

    principal_id: str | None = None
    profile: str | None = None
    authority_id: str | None = None
    serial_number: str | None = None
    status: CertificateStatus | None = None
    subject: str | None = None
    name: str | None = None
    expires_before: datetime | None = None
    expires_after: datetime | None = None


class Sort(StrEnum):
    """The orders in which certificates are listed; `number` is the order of issuance."""

    NEWEST = "-number"
    OLDEST = "number"
    EXPIRES_LAST = "-not_after"
    EXPIRES_FIRST = "not_after"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request, what became of it, and the certificate it led to; `csr_der` is read with one row alone."""

    id: str
    created_at: datetime
    protocol: str
    principal_id: str
    profile: str
    status: str
    rule_ids: tuple[str, ...]
    detail: str
    certificate_id: str | None
    requested: dict[str, Any]
    csr_der: bytes = b""


def list_certificates(
    connection: Connection,
    wanted: CertificateFilter,
    *,
    sort: Sort,
    after: tuple[int, int] | None,
    limit: int,
    now: datetime,
) -> list[CertificateRecord]:
    """One page; `after` is the `(sort value, number)` of the last certificate seen."""
    keys = [certificate.c.number]
    if sort in {Sort.EXPIRES_FIRST, Sort.EXPIRES_LAST}:
        keys.insert(0, certificate.c.not_after)
    descending = sort.startswith("-")
    query = _CERTIFICATES.where(*_conditions(wanted, to_epoch(now))).limit(limit)
    query = query.order_by(*(key.desc() if descending else key.asc() for key in keys))
    if after is not None:
        position = tuple_(*keys)
        last = tuple_(*after[-len(keys) :])
        query = query.where(position < last if descending else position > last)
    return [_certificate(dict(row)) for row in connection.execute(query).mappings()]


def find_certificate(connection: Connection, certificate_id: str) -> CertificateRecord | None:
    """One certificate with its DER, by the hex SHA-256 of it."""
    row = _FIND.first(connection, {"certificate": certificate_id})
    return _certificate(dict(zip(_NAMES, row, strict=True))) if row else None


def is_revoked(connection: Connection, authority_id: str, serial_number: str) -> bool:
    """Whether this serial number of this authority is revoked or on hold now."""
    given = {"authority": authority_id, "number": serial_number}
    return _FIND_REVOCATION.first(connection, given) is not None


def has_profile(connection: Connection, profile: str) -> bool:
    """Whether a certificate of this profile was ever issued."""
    query = select(certificate.c.id).where(certificate.c.profile == profile).limit(1)
    return connection.execute(query).first() is not None


def list_requests(
    connection: Connection, *, principal_id: str | None, status: str | None, after: str | None, limit: int
) -> list[RequestRecord]:
    """One page of requests, newest first; ids sort by time, and `after` is the last one seen."""
    query = _select_requests().order_by(certificate_request.c.id.desc()).limit(limit)
    if principal_id is not None:
        query = query.where(certificate_request.c.principal_id == principal_id)
    if status == "pending":
        query = query.where(IS_PENDING)
    elif status is not None:
        query = query.where(certificate_request.c.status == status)
    if after is not None:
        query = query.where(certificate_request.c.id < after)
    return [_request(row) for row in connection.execute(query)]


def find_request(connection: Connection, request_id: str) -> RequestRecord | None:
    """One request with its CSR, by its id."""
    query = _select_requests(certificate_request.c.csr_der).where(certificate_request.c.id == request_id)
    row = connection.execute(query).one_or_none()
    return _request(row, bytes(row.csr_der)) if row else None


def _conditions(wanted: CertificateFilter, now: int) -> list[ColumnElement[bool]]:
    columns = certificate.c
    equal = {
        columns.principal_id: wanted.principal_id,
        columns.profile: wanted.profile,
        columns.authority_id: wanted.authority_id,
        columns.serial_number: wanted.serial_number,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if wanted.expires_before is not None:
        conditions.append(columns.not_after < to_epoch(wanted.expires_before))
    if wanted.expires_after is not None:
        conditions.append(columns.not_after > to_epoch(wanted.expires_after))
    if wanted.subject is not None:
        conditions.append(columns.subject.contains(wanted.subject, autoescape=True))
    if wanted.name is not None:
        conditions.append(columns.names.contains(json.dumps(wanted.name), autoescape=True))
    if wanted.status is not None:
        conditions.append(_has_status(wanted.status, now))
    return conditions


def _has_status(status: CertificateStatus, now: int) -> ColumnElement[bool]:
    revoked = revocation.c.revoked_at.is_not(None)
    on_hold = revocation.c.reason == "certificateHold"
    expired = certificate.c.not_after < now
    conditions: dict[CertificateStatus, ColumnElement[bool]] = {
        CertificateStatus.REVOKED: and_(revoked, ~on_hold),
        CertificateStatus.HELD: and_(revoked, on_hold),
        CertificateStatus.EXPIRED: and_(~revoked, expired),
        CertificateStatus.VALID: and_(~revoked, ~expired),
    }
    return conditions[status]


def _select_requests(*more: ColumnElement[Any]) -> Select[Any]:
    columns = certificate_request.c
    issued = certificate_request.outerjoin(
        issuance_intent, issuance_intent.c.request_id == columns.id
    ).outerjoin(
        certificate,
        and_(
            certificate.c.authority_id == issuance_intent.c.authority_id,
            certificate.c.serial_number == issuance_intent.c.serial_number,
        ),
    )
    return select(
        columns.id,
        columns.created_at,
        columns.protocol,
        columns.principal_id,
        columns.profile,
        columns.status,
        columns.rule_ids,
        columns.detail,
        columns.requested,
        certificate.c.id.label("certificate_id"),
        *more,
    ).select_from(issued)


def _certificate(row: Mapping[str, Any]) -> CertificateRecord:
    revoked_at = row["revoked_at"]
    return CertificateRecord(
        number=row["number"],
        id=row["id"],
        authority_id=row["authority_id"],
        serial_number=row["serial_number"],
        profile=row["profile"],
        principal_id=row["principal_id"],
        protocol=row["protocol"],
        subject=row["subject"],
        names=tuple(json.loads(row["names"])),
        spki_sha256=row["spki_sha256"],
        not_before=from_epoch(row["not_before"]),
        not_after=from_epoch(row["not_after"]),
        revoked_at=None if revoked_at is None else from_epoch(revoked_at),
        revocation_reason=row["reason"],
        der=bytes(row.get("der", b"")),
    )


def _request(row: Row[Any], csr_der: bytes = b"") -> RequestRecord:
    return RequestRecord(
        id=row.id,
        created_at=from_epoch(row.created_at),
        protocol=row.protocol,
        principal_id=row.principal_id,
        profile=row.profile,
        status=row.status,
        rule_ids=tuple(json.loads(row.rule_ids)),
        detail=row.detail,
        certificate_id=row.certificate_id,
        requested=json.loads(row.requested),
        csr_der=csr_der,
    )
