"""Rules that the database keeps by itself, in the words of both engines; a migration says where they hold.

Whatever a migration made with these stays as it is in databases that have run it: change nothing here that
shows in a schema. On PostgreSQL they rest on `refuse_change`, which migration 0002 made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alembic import op


def keep_rows(tables: Sequence[str]) -> None:
    """No row of these tables is ever deleted."""
    for table in tables:
        if _is_sqlite():
            _refuse_on_sqlite(f"{table}_keep", f"DELETE ON {table}", f"{table} rows are never deleted")
        else:
            _refuse_on_postgresql(f"{table}_keep", f"DELETE ON {table} FOR EACH ROW")
            _refuse_on_postgresql(f"{table}_keep_all", f"TRUNCATE ON {table} FOR EACH STATEMENT")


def freeze_rows(tables: Sequence[str]) -> None:
    """No row of these tables is ever changed."""
    for table in tables:
        if _is_sqlite():
            _refuse_on_sqlite(f"{table}_freeze", f"UPDATE ON {table}", f"{table} rows are never changed")
        else:
            _refuse_on_postgresql(f"{table}_freeze", f"UPDATE ON {table} FOR EACH ROW")


def freeze_columns(table: str, columns: Sequence[str]) -> None:
    """These columns of a table are never changed."""
    change = f"UPDATE OF {', '.join(columns)} ON {table}"
    if _is_sqlite():
        _refuse_on_sqlite(f"{table}_freeze", change, f"{', '.join(columns)} of {table} are never changed")
    else:
        _refuse_on_postgresql(f"{table}_freeze", f"{change} FOR EACH ROW")


def forbid_changes(forbidden: Mapping[str, str]) -> None:
    """Table -> what must not become of a row, as a condition on OLD and NEW."""
    for table, condition in forbidden.items():
        if _is_sqlite():
            change = f"UPDATE ON {table} WHEN {condition}"
            _refuse_on_sqlite(f"{table}_forward", change, f"{table} never goes back")
        else:
            _refuse_on_postgresql(f"{table}_forward", f"UPDATE ON {table} FOR EACH ROW WHEN ({condition})")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _refuse_on_sqlite(name: str, change: str, detail: str) -> None:
    op.execute(f"CREATE TRIGGER {name} BEFORE {change} BEGIN SELECT RAISE(ABORT, '{detail}'); END")


def _refuse_on_postgresql(name: str, change: str) -> None:
    op.execute(f"CREATE TRIGGER {name} BEFORE {change} EXECUTE FUNCTION refuse_change()")
