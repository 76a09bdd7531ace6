"""The migrations make exactly the tables that the code names, with the guards in force."""

from __future__ import annotations

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import delete, insert, inspect, select, text, update

from ca_server.core.audit.record import Actor, make_event
from ca_server.core.clock import from_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.store import acme_tables, migrate, tables
from ca_server.store.engine import Database
from ca_server.store.migrate import require_current, upgrade
from ca_server.store.unit_of_work import BrokenRule

BREAKS = """
from alembic import op
import sqlalchemy as sa

revision = "9999"
down_revision = "{newest}"


def upgrade():
    op.create_table("half_done", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("UPDATE watermark SET value = 7")
    raise RuntimeError("the power went")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
        return
    server = request.getfixturevalue("postgresql")
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.drop(server.url(name))


@pytest.fixture
def broken_migration(tmp_path, monkeypatch):
    """The migrations, and one more that stops in its middle."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder)
    newest = max(path.name[:4] for path in (folder / "versions").glob("0*.py"))
    (folder / "versions/9999_breaks.py").write_text(BREAKS.format(newest=newest))
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    return monkeypatch


def _tables(database):
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


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
            for each in compare_metadata(context, acme_tables.acme_order.metadata)
            if not (each[0] == "remove_table" and each[1].name == "alembic_version")
        ]
    assert differences == []


def test_an_unmigrated_database_is_refused(tmp_path):
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with pytest.raises(CaError, match="db upgrade"):
        require_current(empty)
    empty.close()


def test_a_migration_that_stops_in_the_middle_leaves_nothing(database, broken_migration):
    with database.write() as unit:
        unit.connection.execute(insert(tables.watermark).values(name="linted", value=1))
        unit.commit_unaudited("something to be changed")
    before = _tables(database)
    with pytest.raises(RuntimeError, match="the power went"):
        upgrade(database)
    assert _tables(database) == before
    with database.read() as connection:
        assert connection.execute(select(tables.watermark.c.value)).scalar_one() == 1
    broken_migration.undo()
    upgrade(database)
    require_current(database)


def test_the_first_upgrade_is_whole_or_nothing(empty_url, broken_migration):
    database = Database(empty_url)
    with pytest.raises(RuntimeError, match="the power went"):
        upgrade(database)
    assert _tables(database) == set()
    broken_migration.undo()
    upgrade(database)
    require_current(database)
    database.close()


def test_several_upgrades_at_once(empty_url):
    databases = [Database(empty_url) for _ in range(4)]
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(upgrade, databases))
    for database in databases:
        require_current(database)
        database.close()


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/at/all.sqlite", "postgresql://nobody@127.0.0.1:1/none"], ids=["sqlite", "pg"]
)
def test_upgrading_a_database_that_is_away_is_told_in_words(url):
    database = Database(url)
    with pytest.raises(CaError) as caught:
        upgrade(database)
    assert caught.value.kind is Kind.UNAVAILABLE


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
        with pytest.raises(RuntimeError):
            unit.commit_unaudited("a second time")
    with database.read() as connection:
        assert connection.execute(text("SELECT event_id FROM audit_event")).scalars().all() == ["event-1"]


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


def test_a_tree_head_gets_its_note_once_and_keeps_its_time(database):
    head = {"tree_size": 1, "root_hash": b"r", "time": 1, "note": None}
    with database.write() as unit:
        unit.connection.execute(insert(tables.tree_head), [head])
        unit.commit_unaudited("a head")
    with database.write() as unit:
        unit.connection.execute(update(tables.tree_head).values(note="signed"))
        unit.commit_unaudited("a note")
    for change in ({"note": "other"}, {"time": 2}, {"root_hash": b"s"}):
        with pytest.raises(BrokenRule), database.write() as unit:
            unit.connection.execute(update(tables.tree_head).values(**change))


def _store_intent(hierarchy, state, tbs):
    """A second intent beside that of an issued certificate."""
    hierarchy.issue()
    context = hierarchy.context
    with context.database.read() as connection:
        intent = dict(connection.execute(select(tables.issuance_intent)).mappings().one())
        request = dict(connection.execute(select(tables.certificate_request)).mappings().one())
    about = {"authority": intent["authority_id"], "serial": "f" * 40, "tbs_sha256": intent["tbs_sha256"]}
    asked = {"profile": "tls-server", "policy_sha256": "0" * 64, "request": "another"}
    event = context.event("issue.intent", Actor("process:test", "process", "system"), {**about, **asked})
    changed = {
        "serial_number": "f" * 40,
        "event_id": event.event_id,
        "request_id": "another",
        "state": state,
        "tbs": tbs,
    }
    with context.database.write() as unit:
        unit.connection.execute(insert(tables.certificate_request).values({**request, "id": "another"}))
        unit.connection.execute(insert(tables.issuance_intent).values({**intent, **changed}))
        unit.commit(event)
    return tables.issuance_intent.update().where(tables.issuance_intent.c.serial_number == "f" * 40)


@pytest.mark.parametrize(
    "change",
    [
        {"authority_id": "root-1"},
        {"serial_number": "e" * 40},
        {"created_at": 0},
        {"profile": "other"},
        {"signature_algorithm": "other"},
        {"tbs_sha256": "0" * 64},
        {"state": "other", "tbs": None},
        {"tbs": b"other"},
        {"tbs": None},
        {"state": "done", "tbs": None, "profile": "other"},
    ],
    ids=str,
)
def test_an_open_intent_changes_in_nothing_but_its_outcome(hierarchy, change):
    this = _store_intent(hierarchy, "intent", b"to be signed")
    database = hierarchy.context.database
    with pytest.raises(BrokenRule), database.write() as unit:
        unit.connection.execute(this.values(**change))


@pytest.mark.parametrize("outcome", ["done", "abandoned"])
def test_an_intent_is_settled_once(hierarchy, outcome):
    this = _store_intent(hierarchy, "intent", b"to be signed")
    database = hierarchy.context.database
    with database.write() as unit:
        assert unit.connection.execute(this.values(state=outcome, tbs=None)).rowcount == 1
        unit.commit_unaudited("a test of the guard alone")
    other = "abandoned" if outcome == "done" else "done"
    for change in ({"state": other}, {"state": "intent"}, {"tbs": b"to be signed"}):
        with pytest.raises(BrokenRule), database.write() as unit:
            unit.connection.execute(this.values(**change))
