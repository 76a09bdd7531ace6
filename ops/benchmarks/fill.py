"""Fills a database with certificates, intents, requests and events, as issuance would have left them.

The rows are of real shape and size; the DER is one real certificate with other serial numbers in the row,
for what is measured is how the database fares, not whether a million signatures verify.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

from sqlalchemy import insert, select

from ca_server.core.audit.record import Actor, make_event
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.services.context import new_id
from ca_server.store.engine import Database
from ca_server.store.tables import (
    audit_event,
    certificate,
    certificate_request,
    idempotency_key,
    issuance_intent,
)

BATCH = 5000


def fill(url: str, count: int) -> None:
    """Add `count` certificates that look like the newest one of the database."""
    database = Database(url)
    with database.read() as connection:
        sample = connection.execute(select(certificate).limit(1)).mappings().one()
        request = connection.execute(select(certificate_request).limit(1)).mappings().one()
    for start in range(0, count, BATCH):
        rows = list(_rows(sample, request, min(BATCH, count - start)))
        with database.write() as unit:
            connection = unit.connection
            for table, key in (
                (audit_event, "events"),
                (certificate_request, "request"),
                (issuance_intent, "intent"),
                (certificate, "certificate"),
                (idempotency_key, "key"),
            ):
                values = [each for row in rows for each in row[key]]
                connection.execute(insert(table), values)
            unit.commit_unaudited("a benchmark's stock of certificates")
    database.close()


def _rows(sample: Any, request: Any, count: int) -> Iterator[dict[str, list[dict[str, Any]]]]:
    now = from_epoch(request["created_at"])
    actor = Actor("process:bench", "process", "system")
    for _ in range(count):
        serial = f"{secrets.randbits(159):040x}"
        request_id = new_id(now)
        intent = _event("issue.intent", actor, serial, now)
        done = _event("issue.done", actor, serial, now, ref=intent["event_id"])
        yield {
            "events": [intent, done],
            "request": [{**request, "id": request_id}],
            "intent": [
                {
                    "authority_id": sample["authority_id"],
                    "serial_number": serial,
                    "event_id": intent["event_id"],
                    "request_id": request_id,
                    "created_at": request["created_at"],
                    "state": "done",
                    "profile": sample["profile"],
                    "signature_algorithm": "ecdsa-sha256",
                    "tbs_sha256": "0" * 64,
                    "tbs": None,
                }
            ],
            "certificate": [
                {
                    **{name: sample[name] for name in sample if name != "number"},
                    "id": hashlib.sha256(serial.encode()).hexdigest(),
                    "serial_number": serial,
                    "issued_event_id": done["event_id"],
                    "spki_sha256": secrets.token_hex(32),
                }
            ],
            "key": [
                {
                    "principal_id": sample["principal_id"],
                    "key": secrets.token_hex(16),
                    "request_sha256": hashlib.sha256(serial.encode()).hexdigest(),
                    "request_id": request_id,
                    "created_at": request["created_at"],
                }
            ],
        }


def _event(kind: str, actor: Actor, serial: str, now: Any, ref: str | None = None) -> dict[str, Any]:
    data = {
        "authority": "issuing-i1",
        "serial": serial,
        "tbs_sha256": "0" * 64,
        "cert_sha256": hashlib.sha256(serial.encode()).hexdigest(),
        "profile": "tls-server",
        "policy_sha256": "0" * 64,
        "request": "bench",
    }
    event = make_event(
        event_id=new_id(now), kind=kind, time=now, node="bench", actor=actor, data=data, ref=ref
    )
    return {
        "event_id": event.event_id,
        "kind": kind,
        "time": to_epoch(now),
        "body": event.body,
        "leaf_hash": event.leaf_hash,
        "leaf_index": None,
    }
