"""The table that a run ends with says what became of every cell."""

from __future__ import annotations

from types import SimpleNamespace

from tests.fixtures.acme_table import CELL, collect, table


def report(*cell: str) -> SimpleNamespace:
    return SimpleNamespace(user_properties=[(CELL, cell)])


def test_cells_are_listed_by_client_and_database():
    stats = {
        "passed": [report("lego", "register", "sqlite"), report("lego", "register", "postgresql")],
        "failed": [report("certbot", "register", "sqlite"), SimpleNamespace(user_properties=[])],
        "error": [report("certbot", "http-01", "sqlite")],
        "skipped": [report("certbot", "http-01", "postgresql")],
    }
    assert [line.split() for line in table(collect(stats))][1:] == [
        ["certbot", "lego"],
        ["register", "?", "FAIL", "ok", "ok"],
        ["http-01", "skipped", "FAIL", "-"],
    ]


def test_a_failure_when_a_test_is_put_away_takes_its_cell_down():
    cell = ("lego", "renew", "sqlite")
    assert collect({"passed": [report(*cell)], "error": [report(*cell)]}) == {cell: "FAIL"}
