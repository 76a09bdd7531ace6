"""A database that lost events, or went on from a backup, is held against its anchor and refused."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, text, update

from ca_server.services.sequence import check_anchor
from ca_server.store import tables
from ca_server.store.anchor import Anchored, FileAnchor
from tests.fakes.audit_log import ORIGIN, AuditLog
from tests.fakes.log_checks import check, leaves, rule_of


@pytest.fixture
def log(database, tmp_path):
    return AuditLog(database, tmp_path)


def roll_back(log: AuditLog, size: int) -> None:
    """What restoring an old backup does, guards being no help against a replaced file."""
    with log.database.write() as unit:
        connection = unit.connection
        if log.database.is_sqlite:
            for name in ("tree_head_keep", "audit_event_keep", "log_state_forward"):
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        connection.execute(delete(tables.tree_head).where(tables.tree_head.c.tree_size > size))
        connection.execute(delete(tables.audit_event).where(tables.audit_event.c.leaf_index >= size))
        head = connection.execute(tables.tree_head.select().where(tables.tree_head.c.tree_size == size)).one()
        connection.execute(update(tables.log_state).values(tree_size=size, root_hash=head.root_hash))
        last = connection.execute(
            tables.tree_tile.select().where(tables.tree_tile.c.level == 0, tables.tree_tile.c.tile_index == 0)
        ).one()
        connection.execute(update(tables.tree_tile).values(hashes=last.hashes[: size * 32]))
        if not log.database.is_sqlite:
            connection.execute(text("SET session_replication_role = origin"))
        unit.commit_unaudited("the old backup")


def test_r24_a_database_that_lost_its_newest_events_is_refused(log):
    log.add(2)
    log.sequence_all()
    log.add(2)
    log.sequence_all()
    roll_back(log, 3)
    assert rule_of(check_anchor, log.context, log.anchor) == ("AUDIT-ROLLBACK",)
    log.add(1)
    assert rule_of(log.sequence) == ("AUDIT-ROLLBACK",)
    assert len(leaves(log)) == 3


@pytest.mark.parametrize("regrown", [2, 5])
def test_r24_a_database_that_was_restored_and_went_on_is_refused(log, regrown):
    """Another anchor stands in while it goes on, as where a backup is started elsewhere by mistake."""
    log.add(2)
    log.sequence_all()
    old = log.anchor.read()
    log.add(2)
    log.sequence_all()
    roll_back(log, 3)
    elsewhere = FileAnchor(log.anchor._path.with_name("elsewhere.json"))
    assert elsewhere.swap(None, old)
    real, log.anchor = log.anchor, elsewhere
    log.add(regrown)
    log.sequence_all()
    check(log)
    assert rule_of(check_anchor, log.context, real) == ("AUDIT-ROLLBACK",)


def test_an_empty_database_beside_an_anchor_is_refused(log):
    assert log.anchor.swap(None, Anchored(ORIGIN, 1, bytes(32)))
    assert rule_of(check_anchor, log.context, log.anchor) == ("AUDIT-ROLLBACK",)


def test_another_logs_anchor_is_refused(log):
    log.add(1)
    log.sequence_all()
    present = log.anchor.read()
    assert log.anchor.swap(present, Anchored("other.example/log", 2, present.root))
    assert rule_of(check_anchor, log.context, log.anchor) == ("AUDIT-ROLLBACK",)


def test_a_lost_anchor_is_refused_once_something_was_signed(log):
    assert check_anchor(log.context, log.anchor) is None
    log.add(1)
    log.sequence_all()
    log.anchor._path.unlink()
    assert rule_of(check_anchor, log.context, log.anchor) == ("AUDIT-ANCHOR",)
    log.add(1)
    assert rule_of(log.sequence) == ("AUDIT-ANCHOR",)


def test_an_anchor_behind_is_no_fault_and_catches_up(log):
    """As on a second node that did not lead for a while."""
    log.add(2)
    log.sequence_all()
    old = log.anchor.read()
    log.add(300)
    log.sequence_all()
    newest = log.anchor.read()
    log.anchor._path.unlink()
    assert log.anchor.swap(None, old)
    assert check_anchor(log.context, log.anchor) == old
    log.add(1)
    log.sequence_all()
    assert log.anchor.read().size == newest.size + 1
    check(log)


def test_another_origin_than_the_databases_is_refused(log, tmp_path):
    log.add(1)
    log.sequence_all()
    other = AuditLog(log.database, tmp_path, log.signer)
    other.key = type(log.key)("other.example/log", log.signer)
    assert rule_of(other.sequence) == ("AUDIT-ORIGIN",)
