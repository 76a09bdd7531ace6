"""The tables that a run ends with say what became of every cell."""

from __future__ import annotations

from types import SimpleNamespace

from tests.fixtures.client_tables import ACME_TABLE, EST_TABLE, collect, lines


def report(*cell: str) -> SimpleNamespace:
    return SimpleNamespace(user_properties=[(ACME_TABLE.cell, cell)])


def test_cells_are_listed_by_client_and_set_up():
    stats = {
        "passed": [report("lego", "register", "sqlite"), report("lego", "register", "postgresql")],
        "failed": [report("certbot", "register", "sqlite"), SimpleNamespace(user_properties=[])],
        "error": [report("certbot", "http-01", "sqlite")],
        "skipped": [report("certbot", "http-01", "postgresql")],
    }
    assert [line.split() for line in lines(ACME_TABLE, collect(ACME_TABLE, stats))][1:] == [
        ["certbot", "lego"],
        ["register", "?", "FAIL", "ok", "ok"],
        ["http-01", "skipped", "FAIL", "-"],
    ]


def test_a_failure_when_a_test_is_put_away_takes_its_cell_down():
    cell = ("lego", "renew", "sqlite")
    assert collect(ACME_TABLE, {"passed": [report(*cell)], "error": [report(*cell)]}) == {cell: "FAIL"}


def test_a_table_has_the_cells_of_its_own_protocol_alone():
    assert collect(EST_TABLE, {"passed": [report("lego", "renew", "sqlite")]}) == {}
