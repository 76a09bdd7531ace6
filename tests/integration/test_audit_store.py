"""The log's rows: damage is noticed, what was signed stays, events are listed."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from ca_server.core.audit.tiles import Tile
from ca_server.core.errors import CaError
from ca_server.store import audit as rows
from ca_server.store import tables
from ca_server.store.unit_of_work import BrokenRule
from tests.fakes.audit_log import AuditLog
from tests.fakes.log_checks import leaves, rule_of


@pytest.fixture
def log(database, tmp_path):
    return AuditLog(database, tmp_path)


def test_tiles_that_were_changed_are_noticed_before_the_tree_grows(log):
    log.add(3)
    log.sequence_all()
    with log.database.write() as unit:
        unit.connection.execute(update(tables.tree_tile).values(hashes=bytes(32 * 4)))
        unit.commit_unaudited("a forgery")
    log.add(1)
    assert rule_of(log.sequence) == ("AUDIT-TREE",)
    assert len(leaves(log)) == 4


def test_lost_tiles_and_events_are_noticed(log):
    log.add(3)
    log.sequence_all()
    with log.database.read() as connection:
        with pytest.raises(CaError, match="lost tile/0/001"):
            rows.read_tile(connection, Tile(0, 1, 1))
        with pytest.raises(CaError, match=r"lost an event of tile/entries/000.p/5"):
            rows.read_entries(connection, Tile(None, 0, 5))


def test_a_head_that_somebody_else_moved_is_not_overwritten(log):
    log.add(3)
    log.sequence_all()
    with log.database.write() as unit:
        assert rule_of(rows.advance, unit, 3, 9, bytes(32), 0) == ("AUDIT-FENCE",)


def test_r24_a_signed_head_is_never_changed(log):
    log.add(3)
    log.sequence_all()
    for values in ({"note": "other"}, {"root_hash": bytes(32)}):
        with pytest.raises(BrokenRule), log.database.write() as unit:
            unit.connection.execute(update(tables.tree_head).values(**values))
    with log.database.write() as unit:
        assert not rows.store_note(unit, 4, "other")


def test_listing_events(log):
    first = log.add(3)
    log.clock.pass_seconds(10)
    second = log.add(2)
    wanted = rows.EventFilter

    def listed(**options):
        before = options.pop("before", None)
        limit = options.pop("limit", 10)
        with log.database.read() as connection:
            return rows.list_events(connection, wanted(**options), before=before, limit=limit)

    ids = [event.event_id for event in reversed((*first, *second))]
    assert [each.event_id for each in listed()] == ids
    page = listed(limit=2)
    assert [each.event_id for each in page] == ids[:2]
    assert [each.event_id for each in listed(before=page[-1].number)] == ids[2:]
    newest = int(log.clock.now().timestamp())
    assert [each.event_id for each in listed(since=newest)] == ids[:2]
    assert [each.event_id for each in listed(until=newest)] == ids[2:]
    assert listed(kind="log.heartbeat") == []
    assert [each.event_id for each in listed(actor="process:test")] == ids
    assert listed(actor="process:te%") == listed(actor="' OR 1=1 --") == []
    with log.database.read() as connection:
        found = rows.find_event(connection, ids[0])
        assert found.body == second[-1].body
        assert found.leaf_index is None
        assert rows.find_event(connection, "no such") is None
        assert rows.newest_event_time(connection) == newest


def test_the_newest_event_time_of_an_empty_log(log):
    with log.database.read() as connection:
        assert rows.newest_event_time(connection) is None
