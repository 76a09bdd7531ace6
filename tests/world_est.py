"""The part of `tests.world` that looks at EST: no certificate without its enrolment, no secret overdrawn."""

from __future__ import annotations

import json

TABLES = ("enrolment", "enrolment_secret")


def check_est(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Assert what must hold of secrets, enrolments and chains of renewals."""
    _check_secrets(tables, events)
    _check_enrolments(tables, events)
    _check_chains(tables)


def _check_secrets(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Each is in the log, and was used exactly as often as something was asked for with it."""
    for secret in tables["enrolment_secret"]:
        leaf = events[secret["event_id"]]
        assert leaf["kind"] == "secret.created"
        assert leaf["data"]["secret"] == secret["id"]
        assert secret["digest"] not in json.dumps(leaf)
        used = [row for row in tables["enrolment"] if row["secret_id"] == secret["id"]]
        assert len(used) == secret["uses"] <= secret["max_uses"], secret["id"]
    made = sum(leaf["kind"] == "secret.created" for leaf in events.values())
    assert made == len(tables["enrolment_secret"])


def _check_enrolments(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Each intent of this protocol has one enrolment, which says what its event says."""
    intents = {row["request_id"]: row for row in tables["issuance_intent"]}
    asked = {
        row["id"]
        for row in tables["certificate_request"]
        if row["protocol"] == "est" and row["id"] in intents
    }
    assert {row["request_id"] for row in tables["enrolment"]} == asked
    for row in tables["enrolment"]:
        data = events[intents[row["request_id"]]["event_id"]]["data"]
        assert data.get("secret") == row["secret_id"]
        assert data.get("renews") == row["predecessor_id"]


def _check_chains(tables: dict[str, list[dict]]) -> None:
    """Whoever has a certificate alone gets none for more names, and each stands one further in its chain."""
    certificates = {row["id"]: row for row in tables["certificate"]}
    by_serial = {(row["authority_id"], row["serial_number"]): row for row in tables["certificate"]}
    made_of = {
        row["request_id"]: by_serial.get((row["authority_id"], row["serial_number"]))
        for row in tables["issuance_intent"]
    }
    enrolment_of = {
        made["id"]: row for row in tables["enrolment"] if (made := made_of[row["request_id"]]) is not None
    }
    for row in tables["enrolment"]:
        if row["predecessor_id"] is None:
            assert row["renewals"] == 0
            continue
        old = certificates[row["predecessor_id"]]
        before = enrolment_of.get(old["id"])
        assert row["renewals"] == (before["renewals"] if before else 0) + 1
        assert row["first_at"] == (before["first_at"] if before else old["not_before"])
        new = made_of[row["request_id"]]
        if new is not None:
            assert set(json.loads(new["names"])) <= set(json.loads(old["names"]))
            assert new["principal_id"] == f"certificate:{old['id']}"
