"""The migrations make exactly the tables that the code names, with the guards in force."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import delete, insert, text, update

from ca_server.core.audit.record import Actor, make_event
from ca_server.core.clock import from_epoch
from ca_server.core.errors import CaError
from ca_server.store import tables
from ca_server.store.engine import Database
from ca_server.store.migrate import require_current
from ca_server.store.unit_of_work import BrokenRule


def _event(number: int = 1):
    return make_event(
        event_id=f"event-{number}",
        kind="software.started",
        time=from_epoch(1_800_000_000),
        node="ca-1",
        actor=Actor("process:test", "process", "system"),
        data={"process": "test", "version": "0"},
    )


def test_schema_equals_the_tables(database):
    require_current(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = [
            each
            for each in compare_metadata(context, tables.metadata)
            if not (each[0] == "remove_table" and each[1].name == "alembic_version")
        ]
    assert differences == []


def test_an_unmigrated_database_is_refused(tmp_path):
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with pytest.raises(CaError, match="db upgrade"):
        require_current(empty)
    empty.close()


def test_r24_an_event_is_never_changed_or_deleted(database):
    with database.write() as unit:
        unit.commit(_event())
    for statement in (
        delete(tables.audit_event),
        update(tables.audit_event).values(body=b"{}"),
        update(tables.audit_event).values(kind="other"),
    ):
        with pytest.raises(BrokenRule), database.write() as unit:
            unit.connection.execute(statement)
    with database.write() as unit:
        unit.connection.execute(update(tables.audit_event).values(leaf_index=0))
        unit.commit_unaudited("sequence")
    with pytest.raises(BrokenRule), database.write() as unit:
        unit.connection.execute(update(tables.audit_event).values(leaf_index=1))


def test_leaving_without_commit_undoes(database):
    with database.write() as unit:
        unit.connection.execute(insert(tables.watermark).values(name="revocation", value=1))
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM watermark")).scalar_one() == 0


def test_a_commit_happens_once(database):
    with database.write() as unit:
        unit.commit(_event())
        with pytest.raises(RuntimeError):
            unit.commit(_event(2))


def test_no_row_without_its_event(database):
    row = {
        "id": "t",
        "secret_sha256": "0" * 64,
        "name": "t",
        "role": "auditor",
        "profiles": "[]",
        "names": "[]",
        "created_at": 0,
        "not_after": 0,
        "event_id": "no-such-event",
    }
    with pytest.raises(BrokenRule), database.write() as unit:
        unit.connection.execute(insert(tables.api_token).values(**row))
        unit.commit(_event())
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_event")).scalar_one() == 0
