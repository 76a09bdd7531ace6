"""One look at the whole world: after any crash, outage or race, all of this must hold.

Reads the database by SQL alone, so that a fault in the store's own functions cannot hide itself.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from ca_server.core.audit.record import leaf_hash
from ca_server.core.identifiers import identifier_of
from ca_server.core.lints import Finding, blocking
from ca_server.core.lints.pkix import lint_certificate, lint_crl
from ca_server.store.engine import Database
from tests import world_acme, world_approvals, world_est

OUTCOMES = ("issue.done", "issue.abandoned")
LINTED = 50


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
                "issuance_intent",
                "log_state",
                "revocation",
                "tree_head",
                "idempotency_key",
                *world_acme.TABLES,
                *world_est.TABLES,
                *world_approvals.TABLES,
            )
        }
    events = _check_events(tables["audit_event"])
    _check_tree(tables)
    _check_intents(tables, events, settled=settled)
    _check_certificates(tables, events)
    _check_requests(tables)
    world_acme.check_acme(tables, events, settled=settled)
    world_est.check_est(tables, events)
    world_approvals.check_approvals(tables, events)
    _check_revocations(tables, events)
    _check_crl_events(tables, events)
    _check_crls(tables)
    _check_lints(tables)
    return {
        "certificates": len(tables["certificate"]),
        "intents": len(tables["issuance_intent"]),
        "events": len(events),
        "refused": sum(row["status"] == "refused" for row in tables["certificate_request"]),
        "revoked": len(tables["revocation"]),
    }


def _check_events(rows: list[dict]) -> dict[str, dict]:
    """Event id -> leaf; every leaf is stored as it was hashed, and the columns say what it says."""
    events = {}
    for row in rows:
        assert leaf_hash(bytes(row["body"])) == bytes(row["leaf_hash"]), row["event_id"]
        leaf = json.loads(bytes(row["body"]))
        assert leaf["event_id"] == row["event_id"]
        assert leaf["kind"] == row["kind"]
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
        _check_columns(row, certificate)
        done = events[row["issued_event_id"]]
        assert done["kind"] == "issue.done"
        assert done["ref"] == intent["event_id"]
        assert done["data"]["cert_sha256"] == row["id"]
        assert done["data"]["tbs_sha256"] == intent["tbs_sha256"]
    done_intents = [row for row in tables["issuance_intent"] if row["state"] == "done"]
    assert len(done_intents) == len(tables["certificate"])


def _check_columns(row: dict, certificate: x509.Certificate) -> None:
    """What a row says of its certificate is what stands in the certificate."""
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert json.loads(row["names"]) == sorted(str(identifier_of(name)) for name in names)
    assert row["subject"] == certificate.subject.rfc4514_string()
    assert row["spki_sha256"] == hashlib.sha256(key).hexdigest()
    assert row["not_before"] == certificate.not_valid_before_utc.timestamp()
    assert row["not_after"] == certificate.not_valid_after_utc.timestamp()


def _check_requests(tables: dict[str, list[dict]]) -> None:
    """A request is issued exactly where its intent is done."""
    states = {row["request_id"]: row["state"] for row in tables["issuance_intent"]}
    words = {"done": "issued", "abandoned": "abandoned", "intent": "intent"}
    for row in tables["certificate_request"]:
        expected = {words[states[row["id"]]]} if row["id"] in states else world_approvals.WITHOUT_INTENT
        assert row["status"] in expected, row["id"]


def _check_revocations(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Each revocation, and each release from hold, is what its event says."""
    for row in tables["revocation"]:
        about = {"authority": row["authority_id"], "serial": row["serial_number"]}
        done = events[row["event_id"]]
        assert done["kind"] == "revoke.done"
        assert done["data"].items() >= {**about, "reason": row["reason"]}.items()
        assert (row["released_at"] is None) == (row["released_event_id"] is None)
        if row["released_event_id"] is not None:
            released = events[row["released_event_id"]]
            assert released["kind"] == "revoke.released"
            assert released["data"].items() >= about.items()


def _check_crl_events(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Every number has its intent, and one outcome unless it is open; no outcome is without its row."""
    outcomes = {
        leaf["event_id"]: leaf for leaf in events.values() if leaf["kind"] in {"crl.done", "crl.abandoned"}
    }
    for row in tables["crl"]:
        about = {"authority": row["authority_id"], "crl_number": row["crl_number"]}
        intent = events[row["intent_event_id"]]
        assert intent["kind"] == "crl.intent"
        assert intent["data"].items() >= {**about, "tbs_sha256": row["tbs_sha256"]}.items()
        assert (row["der"] is None) == (row["state"] != "done")
        if row["state"] == "intent":
            assert row["event_id"] is None
            continue
        outcome = outcomes.pop(row["event_id"])
        assert outcome["kind"] == f"crl.{row['state']}"
        assert outcome["ref"] == row["intent_event_id"]
        assert outcome["data"].items() >= about.items()
        if row["state"] == "done":
            sha256 = hashlib.sha256(bytes(row["der"])).hexdigest()
            assert sha256 == row["sha256"] == outcome["data"]["crl_sha256"]
    assert not outcomes, "an outcome without a CRL"


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
            if row["released_at"] is not None and row["released_at"] < made[-1]["this_update"]:
                assert row["serial_number"] not in listed, "what was released is on the newest CRL"
            if row["released_at"] is None and row["not_after"] >= made[-1]["this_update"]:
                assert row["serial_number"] in listed, "a revocation is missing from the newest CRL"


def _check_lints(tables: dict[str, list[dict]]) -> None:
    """pkilint has nothing against the newest certificates and the newest CRL of each authority."""
    for row in sorted(tables["certificate"], key=lambda row: row["number"])[-LINTED:]:
        assert _lint(bytes(row["der"])) == (), row["id"]
    newest = {}
    for row in sorted(tables["crl"], key=lambda row: row["crl_number"]):
        if row["state"] == "done":
            newest[row["authority_id"]] = bytes(row["der"])
    for authority_id, der in newest.items():
        assert blocking(lint_crl(der)) == (), authority_id


@cache
def _lint(der: bytes) -> tuple[Finding, ...]:
    """What stands against a certificate; a matrix of kills looks at each again after every later kill."""
    return blocking(lint_certificate(der))
