"""One look at the whole world: after any crash, outage or race, all of this must hold.

Reads the database by SQL alone, so that a fault in the store's own functions cannot hide itself.
"""

from __future__ import annotations

import hashlib
import json

from cryptography import x509
from sqlalchemy import text

from ca_server.core.audit.record import leaf_hash
from ca_server.store.engine import Database

OUTCOMES = ("issue.done", "issue.abandoned")


def check(database: Database, *, settled: bool = True) -> dict[str, int]:
    """Assert every invariant and return what was counted.

    `settled`: recovery has run, so that no intent may be open any more.
    """
    with database.read() as connection:
        tables = {
            name: [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
            for name in (
                "audit_event",
                "authority",
                "certificate",
                "certificate_request",
                "crl",
                "idempotency_key",
                "issuance_intent",
                "log_state",
                "revocation",
                "tree_head",
            )
        }
    events = _check_events(tables["audit_event"])
    _check_tree(tables)
    _check_intents(tables, events, settled=settled)
    _check_certificates(tables, events)
    _check_requests(tables)
    _check_crls(tables)
    return {
        "certificates": len(tables["certificate"]),
        "intents": len(tables["issuance_intent"]),
        "events": len(events),
        "refused": sum(row["status"] == "refused" for row in tables["certificate_request"]),
        "revoked": len(tables["revocation"]),
    }


def _check_events(rows: list[dict]) -> dict[str, dict]:
    """Event id -> leaf; every leaf is stored as it was hashed and no id stands twice."""
    events = {}
    for row in rows:
        assert leaf_hash(bytes(row["body"])) == bytes(row["leaf_hash"]), row["event_id"]
        leaf = json.loads(bytes(row["body"]))
        assert leaf["event_id"] == row["event_id"]
        assert leaf["kind"] == row["kind"]
        assert row["event_id"] not in events
        events[row["event_id"]] = leaf
    return events


def _check_tree(tables: dict[str, list[dict]]) -> None:
    """The leaves are numbered without a gap and hash to every head that was ever committed."""
    sequenced = sorted(
        (row for row in tables["audit_event"] if row["leaf_index"] is not None),
        key=lambda row: row["leaf_index"],
    )
    assert [row["leaf_index"] for row in sequenced] == list(range(len(sequenced)))
    hashes = [bytes(row["leaf_hash"]) for row in sequenced]
    for state in tables["log_state"]:
        assert state["tree_size"] == len(hashes)
        assert bytes(state["root_hash"]) == root(hashes)
    for head in tables["tree_head"]:
        assert bytes(head["root_hash"]) == root(hashes[: head["tree_size"]]), head["tree_size"]


def root(hashes: list[bytes]) -> bytes:
    """The Merkle tree hash, straight from its definition (RFC 6962 §2.1)."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()


def _check_intents(tables: dict[str, list[dict]], events: dict[str, dict], *, settled: bool) -> None:
    """One intent event each, at most one outcome event, and the state that the outcome says."""
    outcomes: dict[str, list[dict]] = {}
    for leaf in events.values():
        if leaf["kind"] in OUTCOMES:
            outcomes.setdefault(leaf["ref"], []).append(leaf)
    serials = set()
    for intent in tables["issuance_intent"]:
        leaf = events[intent["event_id"]]
        assert leaf["kind"] == "issue.intent"
        assert leaf["data"]["serial"] == intent["serial_number"]
        assert leaf["data"]["tbs_sha256"] == intent["tbs_sha256"]
        found = outcomes.pop(intent["event_id"], [])
        expected = {"done": ["issue.done"], "abandoned": ["issue.abandoned"], "intent": []}
        assert [each["kind"] for each in found] == expected[intent["state"]], intent
        assert (intent["tbs"] is None) == (intent["state"] != "intent")
        if settled:
            assert intent["state"] != "intent", f"serial {intent['serial_number']} was never settled"
        serials.add((intent["authority_id"], intent["serial_number"]))
    assert len(serials) == len(tables["issuance_intent"])
    assert not outcomes, "an outcome without an intent"
    intents = {row["event_id"] for row in tables["issuance_intent"]}
    assert intents == {key for key, leaf in events.items() if leaf["kind"] == "issue.intent"}


def _check_certificates(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Every certificate is signed by its authority, is what was intended, and is in the log."""
    authorities = {
        row["id"]: x509.load_der_x509_certificate(bytes(row["certificate_der"]))
        for row in tables["authority"]
    }
    intents = {(row["authority_id"], row["serial_number"]): row for row in tables["issuance_intent"]}
    for row in tables["certificate"]:
        der = bytes(row["der"])
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(authorities[row["authority_id"]])
        intent = intents[row["authority_id"], row["serial_number"]]
        assert intent["state"] == "done"
        assert certificate.serial_number == int(row["serial_number"], 16)
        assert hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest() == intent["tbs_sha256"]
        assert hashlib.sha256(der).hexdigest() == row["id"]
        done = events[row["issued_event_id"]]
        assert done["kind"] == "issue.done"
        assert done["ref"] == intent["event_id"]
        assert done["data"]["cert_sha256"] == row["id"]
        assert done["data"]["tbs_sha256"] == intent["tbs_sha256"]
    done_intents = [row for row in tables["issuance_intent"] if row["state"] == "done"]
    assert len(done_intents) == len(tables["certificate"])


def _check_requests(tables: dict[str, list[dict]]) -> None:
    """A request is issued exactly where its intent is done, and each has at most one intent."""
    states = {row["request_id"]: row["state"] for row in tables["issuance_intent"]}
    assert len(states) == len(tables["issuance_intent"])
    words = {"done": "issued", "abandoned": "abandoned", "intent": "intent"}
    for row in tables["certificate_request"]:
        expected = words[states[row["id"]]] if row["id"] in states else "refused"
        assert row["status"] == expected, row["id"]
    known = {row["id"] for row in tables["certificate_request"]}
    assert {row["request_id"] for row in tables["idempotency_key"]} <= known


def _check_crls(tables: dict[str, list[dict]]) -> None:
    """Numbers and times only go forward, and the newest CRL has every revocation made before it."""
    for authority in tables["authority"]:
        made = sorted(
            (
                row
                for row in tables["crl"]
                if row["authority_id"] == authority["id"] and row["state"] == "done"
            ),
            key=lambda row: row["crl_number"],
        )
        updates = [row["this_update"] for row in made]
        assert updates == sorted(updates)
        assert authority["last_crl_number"] >= max((row["crl_number"] for row in made), default=0)
        if not made:
            continue
        newest = x509.load_der_x509_crl(bytes(made[-1]["der"]))
        issuer = x509.load_der_x509_certificate(bytes(authority["certificate_der"]))
        assert newest.is_signature_valid(issuer.public_key())
        listed = {f"{entry.serial_number:040x}" for entry in newest}
        for row in tables["revocation"]:
            if row["authority_id"] != authority["id"] or row["revoked_at"] >= made[-1]["this_update"]:
                continue
            if row["released_at"] is None and row["not_after"] >= made[-1]["this_update"]:
                assert row["serial_number"] in listed, "a revocation is missing from the newest CRL"
