"""Who stands behind a request: the credentials that led to it, and the events that tell who made those."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Table, bindparam, select

from ca_server.store.est_tables import enrolment_secret
from ca_server.store.prepared import Prepared
from ca_server.store.requests import PastRequest
from ca_server.store.tables import (
    api_token,
    audit_event,
    certificate,
    certificate_request,
    client_grant,
    issuance_intent,
)


@dataclass(frozen=True, slots=True)
class LoggedCredential:
    """A credential that was made here, with the event that its row names.

    `word` is what such an event calls it: `secret`, `grant` or `token`.
    """

    word: str
    id: str
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Requesters:
    """Everybody behind a request, and those of them that are a credential which somebody made.

    `principals` asked; where a certificate of ours did, those who asked for that are among them, and so on.
    """

    principals: frozenset[str]
    credentials: tuple[LoggedCredential, ...]


def _made_by(table: Table) -> Prepared:
    return Prepared(
        select(audit_event.c.body, audit_event.c.leaf_hash)
        .join(table, table.c.event_id == audit_event.c.event_id)
        .where(table.c.id == bindparam("credential"))
    )


# What a principal's id begins with -> the word of its event, and the statement that finds that.
_MADE = {
    "secret": ("secret", _made_by(enrolment_secret)),
    "key": ("grant", _made_by(client_grant)),
    "token": ("token", _made_by(api_token)),
}
_LED_TO = Prepared(
    select(certificate_request.c.principal_id, certificate_request.c.requested)
    .join(issuance_intent, issuance_intent.c.request_id == certificate_request.c.id)
    .join(
        certificate,
        (certificate.c.authority_id == issuance_intent.c.authority_id)
        & (certificate.c.serial_number == issuance_intent.c.serial_number),
    )
    .where(certificate.c.id == bindparam("certificate"))
)


def find_requesters(connection: Connection, request: PastRequest) -> Requesters:
    """Everybody behind a request, and what they proved themselves with."""
    principals = frozenset(_principals(connection, request))
    return Requesters(principals, tuple(_credentials(connection, principals)))


def _principals(connection: Connection, request: PastRequest) -> set[str]:
    principal_id, requested = request.principal_id, request.requested
    found: set[str] = set()
    while principal_id not in found:
        found.add(principal_id)
        if secret_id := requested.get("secret"):
            found.add(f"secret:{secret_id}")
        kind, _, certificate_id = principal_id.partition(":")
        row = _LED_TO.first(connection, {"certificate": certificate_id}) if kind == "certificate" else None
        if row is not None:
            principal_id, requested = row[0], json.loads(row[1])
    return found


def _credentials(connection: Connection, principals: frozenset[str]) -> Iterator[LoggedCredential]:
    for principal_id in sorted(principals):
        kind, _, credential_id = principal_id.partition(":")
        if kind in _MADE:
            word, statement = _MADE[kind]
            row = statement.first(connection, {"credential": credential_id})
            if row is not None:
                yield LoggedCredential(word, credential_id, bytes(row[0]), bytes(row[1]))
