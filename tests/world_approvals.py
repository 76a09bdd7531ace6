"""What must hold of approvals after any crash or race; a part of `tests.world`."""

from __future__ import annotations

import hashlib
import json

TABLES = ("approval",)
# What a request may be whose wait for officers began: those of `tests.world` and these.
WITHOUT_INTENT = {"pending", "rejected", "refused"}
OFFICERS = {"officer", "administrator"}


def check_approvals(tables: dict[str, list[dict]], events: dict[str, dict]) -> None:
    """Each decision is in the log, none is on an own request, and who waited was approved before issuance."""
    requests = {row["id"]: row for row in tables["certificate_request"]}
    asked = {
        leaf["data"]["request"]: leaf for leaf in events.values() if leaf["kind"] == "approval.requested"
    }
    decided = {key for key, leaf in events.items() if leaf["kind"] == "approval.decided"}
    assert decided == {row["event_id"] for row in tables["approval"]}
    made = {row["id"]: events[row["event_id"]]["actor"]["id"] for row in tables["enrolment_secret"]}
    approved: dict[str, set[str]] = {}
    for row in tables["approval"]:
        request = requests[row["request_id"]]
        assert request["id"] in asked, "a decision on what never waited"
        own = _own(request, made)
        is_borne_out = row["principal_id"] not in own and _is_borne_out(row, request, events[row["event_id"]])
        if is_borne_out and row["decision"] == "approved":
            approved.setdefault(request["id"], set()).add(row["principal_id"])
        if row["decision"] == "rejected":
            assert request["status"] == "rejected"
    for leaf in events.values():
        if leaf["kind"] == "issue.intent" and leaf["data"]["request"] in asked:
            found = approved.get(leaf["data"]["request"], set())
            assert len(found) == leaf["data"]["approvals"]
    keys = {row["request_id"] for row in tables["idempotency_key"]}
    for request_id in asked:
        assert request_id in keys, "a request that waits and is never found again"
    for row in requests.values():
        if row["status"] in {"pending", "rejected"}:
            assert row["id"] in asked


def _is_borne_out(row: dict, request: dict, leaf: dict) -> bool:
    told = {
        "request": request["id"],
        "decision": row["decision"],
        "csr_sha256": hashlib.sha256(bytes(request["csr_der"])).hexdigest(),
    }
    return (
        told.items() <= leaf["data"].items()
        and leaf["actor"]["id"] == row["principal_id"]
        and leaf["actor"]["role"] in OFFICERS
    )


def _own(request: dict, made: dict[str, str]) -> set[str]:
    """The requester, and who made the secret that it used."""
    secret = json.loads(request["requested"]).get("secret")
    return {request["principal_id"]} | ({made[secret]} if secret else set())
