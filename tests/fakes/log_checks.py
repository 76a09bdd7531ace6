"""What must hold of a log between any two steps, and of a refusal."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from ca_server.core.audit.checkpoint import open_checkpoint
from ca_server.core.audit.merkle import root_of
from ca_server.core.audit.record import leaf_hash, parse_event
from ca_server.core.errors import CaError
from ca_server.store import audit as rows
from ca_server.store.anchor import Anchored
from tests.fakes.audit_log import ORIGIN, AuditLog


def leaves(log: AuditLog) -> list[bytes]:
    with log.database.read() as connection:
        found = connection.execute(
            text("SELECT leaf_index, body FROM audit_event WHERE leaf_index IS NOT NULL ORDER BY leaf_index")
        ).all()
    assert [index for index, _ in found] == list(range(len(found)))
    return [bytes(body) for _, body in found]


def check(log: AuditLog) -> int:
    """Everything that must always hold of a finished log; returns its size."""
    entries = leaves(log)
    with log.database.read() as connection:
        state = rows.find_log(connection)
        head = rows.newest_head(connection, signed=True)
        assert not rows.is_waiting(connection)
        assert rows.newest_head(connection, signed=False) == head
    checkpoint = open_checkpoint(head.note.encode(), [log.key.verifier_key])
    assert checkpoint.origin == ORIGIN
    assert checkpoint.size == len(entries) == state.tree_size
    assert checkpoint.root == state.root_hash == root_of([leaf_hash(entry) for entry in entries])
    assert log.anchor.read() == Anchored(ORIGIN, checkpoint.size, checkpoint.root)
    assert parse_event(entries[0])["kind"] == "log.epoch-open"
    return len(entries)


def rule_of(function, *arguments) -> tuple[str, ...]:
    with pytest.raises(CaError) as caught:
        function(*arguments)
    return caught.value.rule_ids
