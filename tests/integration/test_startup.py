"""What a process does before it serves: it looks at the clock and says in the log that it is there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

import ca_server
from ca_server.core.errors import CaError, Kind
from ca_server.policy_store import PolicyStore
from ca_server.services.context import Context
from ca_server.services.startup import MAX_CLOCK_LAG, announce_start
from tests.fakes.clock import SetClock

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def context(database):
    return Context(SetClock(NOW), database, "node-1")


def _events(database):
    with database.read() as connection:
        rows = connection.execute(text("SELECT body FROM audit_event ORDER BY number"))
        return [json.loads(bytes(row.body)) for row in rows]


def test_a_start_is_logged_with_the_policies_in_force(context, database):
    policies = PolicyStore()
    announce_start(context, "worker", policies)
    started, loaded = _events(database)
    assert started["kind"] == "software.started"
    assert started["data"] == {"process": "worker", "version": ca_server.__version__}
    assert loaded["kind"] == "policy.loaded"
    assert set(loaded["data"]["profiles"]) == set(policies.names)
    assert loaded["data"]["profiles"]["tls-server"] == policies.profile("tls-server").sha256


def test_a_clock_behind_the_log_forbids_to_start(context, database):
    announce_start(context, "worker")
    behind = Context(SetClock(NOW - timedelta(seconds=MAX_CLOCK_LAG + 1)), database, "node-2")
    with pytest.raises(CaError, match="CLOCK-BEHIND") as caught:
        announce_start(behind, "worker")
    assert caught.value.kind is Kind.UNAVAILABLE
    assert len(_events(database)) == 1


def test_clocks_of_nodes_may_differ_a_little(context, database):
    announce_start(context, "worker")
    behind = Context(SetClock(NOW - timedelta(seconds=MAX_CLOCK_LAG)), database, "node-2")
    announce_start(behind, "worker")
    assert [event["node"] for event in _events(database)] == ["node-1", "node-2"]
