"""What the database's own errors become, which connections are kept, and what a reader sees."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import bindparam, insert, select, text
from sqlalchemy.exc import DBAPIError

from ca_server.core.errors import CaError, Kind
from ca_server.store import tables
from ca_server.store.engine import Database
from ca_server.store.prepared import Prepared
from ca_server.store.unit_of_work import BrokenRule

SET_MARK = Prepared(insert(tables.watermark), ("name", "value"))
READ_MARK = Prepared(
    select(tables.watermark.c.value).where(tables.watermark.c.name == bindparam("wanted")),
)


@pytest.fixture
def postgresql_url(postgresql):
    url = postgresql.create()
    yield url
    postgresql.drop(url)


def store(database: Database, name: str, value: int) -> None:
    with database.write() as unit:
        SET_MARK.run(unit.connection, {"name": name, "value": value})
        unit.commit_unaudited("a test of the engine")


def test_a_reader_sees_one_picture(database):
    store(database, "before", 1)
    with database.read() as connection:
        assert READ_MARK.first(connection, {"wanted": "before"}) == (1,)
        store(database, "meanwhile", 2)
        assert READ_MARK.first(connection, {"wanted": "meanwhile"}) is None
        assert connection.execute(text("SELECT count(*) FROM watermark")).scalar_one() == 1
    with database.read() as connection:
        assert READ_MARK.first(connection, {"wanted": "meanwhile"}) == (2,)


def test_a_connection_that_read_can_write_and_back(database):
    for number in range(3):
        store(database, f"mark-{number}", number)
        with database.read() as connection:
            assert READ_MARK.first(connection, {"wanted": f"mark-{number}"}) == (number,)
    assert database.engine.pool.checkedin() == 1


def test_a_write_while_reading_is_refused_and_kept_out_of_the_pool(postgresql_url):
    database = Database(postgresql_url)
    with pytest.raises(CaError) as caught, database.read() as connection:
        SET_MARK.run(connection, {"name": "sly", "value": 1})
    assert caught.value.kind is Kind.UNAVAILABLE
    assert isinstance(caught.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    database.close()


@pytest.mark.parametrize("prepared", [True, False])
def test_a_server_that_only_reads_is_unavailable_and_left(postgresql_url, prepared):
    """After a failover the pool still holds connections to what is a standby now (SQLSTATE 25006)."""
    database = Database(postgresql_url)
    with database.write() as unit:
        old = unit.connection.connection.driver_connection
        old.execute("SET default_transaction_read_only = on")
        unit.commit_unaudited("as a standby would be")
    row = {"name": "mark", "value": 1}
    with pytest.raises(CaError) as caught, database.write() as unit:
        assert unit.connection.connection.driver_connection is old
        if prepared:
            SET_MARK.run(unit.connection, row)
        else:
            unit.connection.execute(insert(tables.watermark).values(**row))
    assert (caught.value.kind, caught.value.retry_after) == (Kind.UNAVAILABLE, 5)
    assert old.closed
    store(database, "mark", 1)
    database.close()


@pytest.mark.parametrize("prepared", [True, False])
def test_a_value_that_cannot_be_kept_is_malformed(postgresql_url, prepared):
    database = Database(postgresql_url)
    for name, value in (("a\x00b", 1), ("x" * 33, 1), ("mark", 2**70)):
        with pytest.raises(CaError) as caught, database.write() as unit:
            if prepared:
                SET_MARK.run(unit.connection, {"name": name, "value": value})
            else:
                unit.connection.execute(insert(tables.watermark).values(name=name, value=value))
        assert (caught.value.kind, caught.value.rule_ids) == (Kind.MALFORMED, ("STORE-DATA",))
    assert database.engine.pool.checkedin() == 1
    database.close()


def test_a_broken_rule_keeps_its_connection(database):
    store(database, "mark", 1)
    for _attempt in range(2):
        with pytest.raises(BrokenRule):
            store(database, "mark", 2)
    assert database.engine.pool.checkedin() == 1


def test_no_free_connection_is_unavailable(database, monkeypatch):
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.01)
    held = [database.engine.connect() for _ in range(32)]
    with pytest.raises(CaError) as caught, database.read():
        pytest.fail("there was no connection to be had")
    assert caught.value.kind is Kind.UNAVAILABLE
    for connection in held:
        connection.close()


def test_a_statement_that_makes_no_sense_is_our_own_fault(postgresql_url):
    database = Database(postgresql_url)
    with pytest.raises(DBAPIError, match="no_such_table"), database.read() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))
    database.close()
