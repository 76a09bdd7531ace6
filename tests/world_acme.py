"""The part of `tests.world` that looks at ACME: no certificate without its own order and evidence."""

from __future__ import annotations

import json

TABLES = (
    "acme_account",
    "acme_authorization",
    "acme_challenge",
    "acme_finalization",
    "acme_order",
    "acme_order_authorization",
    "acme_validation",
    "external_account_key",
)


def check_acme(tables: dict[str, list[dict]], events: dict[str, dict], *, settled: bool) -> None:
    """Assert what must hold of accounts, orders, authorizations and their evidence."""
    _check_events(tables, events)
    _check_authorizations(tables, events)
    _check_orders(tables, settled=settled)
    _check_certificates(tables)
    for key in tables["external_account_key"]:
        bound = [row for row in tables["acme_account"] if row["external_account_key_id"] == key["id"]]
        assert len(bound) == key["uses"] <= key["max_uses"]


def _check_events(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    for table, kind, key in (
        ("acme_account", "account.created", "account"),
        ("acme_order", "order.created", "order"),
    ):
        for row in tables[table]:
            leaf = events[row["event_id"]]
            assert leaf["kind"] == kind
            assert leaf["data"][key] == row["id"]
        assert len(tables[table]) == sum(leaf["kind"] == kind for leaf in events.values())


def _check_authorizations(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Valid are exactly those with a successful validation of their own name by their own challenge."""
    attempts = {row["number"]: row for row in tables["acme_validation"]}
    challenges = {row["id"]: row for row in tables["acme_challenge"]}
    for attempt in attempts.values():
        if attempt["outcome"] == "retry":
            assert attempt["event_id"] is None
            continue
        kinds = {"success": "validation.done", "failure": "validation.failed"}
        assert events[attempt["event_id"]]["kind"] == kinds[attempt["outcome"]]
    for row in tables["acme_authorization"]:
        own = [each for each in challenges.values() if each["authorization_id"] == row["id"]]
        assert own, "an authorization without challenges"
        if row["status"] == "valid":
            attempt = attempts[row["evidence_number"]]
            assert attempt["outcome"] == "success"
            assert attempt["identifier"] == row["identifier"]
            assert challenges[attempt["challenge_id"]]["authorization_id"] == row["id"]
            assert challenges[attempt["challenge_id"]]["status"] == "valid"
        for each in own:
            settled = each["status"] in {"valid", "invalid"}
            made = [a["outcome"] for a in attempts.values() if a["challenge_id"] == each["id"]]
            assert sum(outcome != "retry" for outcome in made) == int(settled), each["id"]


def _check_orders(tables: dict[str, list[dict]], *, settled: bool) -> None:
    """An order is where its request is, and has exactly the certificate that it asked for."""
    requests = {row["id"]: row for row in tables["certificate_request"]}
    certificates = {row["id"]: row for row in tables["certificate"]}
    for order in tables["acme_order"]:
        made = [
            requests[row["request_id"]]["status"]
            for row in tables["acme_finalization"]
            if row["order_id"] == order["id"]
        ]
        accepted = [status for status in made if status != "refused"]
        expected = {"pending": [], "processing": ["intent"], "valid": ["issued"]}
        if order["status"] == "invalid":
            assert accepted == ["abandoned"]
            continue
        assert accepted == expected[order["status"]], order["id"]
        assert order["status"] != "processing" or not settled, "an order is stuck"
        if order["status"] == "valid":
            certificate = certificates[order["certificate_id"]]
            names = sorted(f"{each['type']}:{each['value']}" for each in json.loads(order["identifiers"]))
            assert json.loads(certificate["names"]) == names
            assert certificate["principal_id"] == f"account:{order['account_id']}"
            assert certificate["profile"] == order["profile"]


def _check_certificates(tables: dict[str, list[dict]]) -> None:
    """Every certificate of this protocol has one order, and each of its names evidence of its own (R11)."""
    orders = {row["certificate_id"]: row for row in tables["acme_order"] if row["certificate_id"]}
    authorizations = {row["id"]: row for row in tables["acme_authorization"]}
    attempts = {row["number"]: row for row in tables["acme_validation"]}
    created = {
        (row["authority_id"], row["serial_number"]): row["created_at"] for row in tables["issuance_intent"]
    }
    issued = [row for row in tables["certificate"] if row["protocol"] == "acme"]
    assert {row["id"] for row in issued} == set(orders)
    for certificate in issued:
        order = orders[certificate["id"]]
        linked = [
            authorizations[row["authorization_id"]]
            for row in tables["acme_order_authorization"]
            if row["order_id"] == order["id"]
        ]
        at = created[certificate["authority_id"], certificate["serial_number"]]
        for name in json.loads(certificate["names"]):
            proofs = [
                attempts[row["evidence_number"]]
                for row in linked
                if row["account_id"] == order["account_id"]
                and row["evidence_number"] is not None
                and _stands_for(row, name)
            ]
            assert any(proof["outcome"] == "success" and proof["at"] <= at for proof in proofs), name


def _stands_for(authorization: dict, name: str) -> bool:
    """Written anew, so that a fault in the product's own rule cannot hide itself."""
    kind, _, value = name.partition(":")
    proven = authorization["identifier"].partition(":")[2]
    if not authorization["identifier"].startswith(f"{kind}:"):
        return False
    if authorization["subdomains"]:
        return kind == "dns" and (value == proven or value.endswith(f".{proven}"))
    if authorization["wildcard"]:
        return value == f"*.{proven}"
    return value == proven
