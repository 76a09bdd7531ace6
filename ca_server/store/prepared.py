"""Statements of the hot path: built once, compiled once a database, run on the driver's own cursor.

Building a statement, finding its compiled form and wrapping its result cost many times what SQLite needs
to run it (230 µs against 5 µs for one look-up). What is written here is still SQLAlchemy's one spelling
for both databases; only its cost is paid once. `Database` turns the driver's errors into typed ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, ColumnElement
from sqlalchemy.sql.functions import FunctionElement

Parameters = Mapping[str, Any]


class Prepared:
    """One statement whose values are all bind parameters of plain types (int, str, bytes, None).

    `columns` are those that an INSERT gives values for.
    """

    def __init__(self, statement: Executable, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def first(self, connection: Connection, parameters: Parameters) -> tuple[Any, ...] | None:
        """The first row that it finds."""
        cursor = self._execute(connection, parameters)
        row: tuple[Any, ...] | None = cursor.fetchone()
        cursor.close()
        return row

    def all(self, connection: Connection, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Every row that it finds."""
        cursor = self._execute(connection, parameters)
        rows: list[tuple[Any, ...]] = list(cursor.fetchall())
        cursor.close()
        return rows

    def run(self, connection: Connection, parameters: Parameters) -> int:
        """Execute it once; returns how many rows it touched."""
        cursor = self._execute(connection, parameters)
        count: int = cursor.rowcount
        cursor.close()
        return count

    def run_many(self, connection: Connection, parameters: Sequence[Parameters]) -> int:
        """Execute it for each of the parameters, in one round trip; returns how many rows it touched."""
        text, order = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.executemany(text, [_values(each, order) for each in parameters])
        count: int = cursor.rowcount
        cursor.close()
        return count

    def _execute(self, connection: Connection, parameters: Parameters) -> DBAPICursor:
        text, order = self._for(connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(text, _values(parameters, order))
        return cursor

    def _for(self, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
        found = self._compiled.get(dialect.name)
        if found is None:
            assert isinstance(self._statement, ClauseElement)
            compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
            positions: Sequence[str] | None = getattr(compiled, "positiontup", None)
            order = tuple(positions) if positions is not None else None
            found = self._compiled[dialect.name] = (str(compiled), order)
        return found


class _MembersOf(FunctionElement[str]):
    """The texts of a JSON array, as rows."""

    inherit_cache = True


@compiles(_MembersOf, "sqlite")
def _members_on_sqlite(element: _MembersOf, compiler: Any, **keywords: Any) -> str:
    array = compiler.process(element.clauses, **keywords)
    return f"(SELECT value FROM json_each({array}))"  # noqa: S608 - a bind parameter's mark, no value


@compiles(_MembersOf, "postgresql")
def _members_on_postgresql(element: _MembersOf, compiler: Any, **keywords: Any) -> str:
    array = compiler.process(element.clauses, **keywords)
    return f"(SELECT json_array_elements_text(CAST({array} AS json)))"


def is_listed(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether a column's text is in the JSON array that is bound to `name`.

    A list of any length is one parameter of one statement, where IN has a parameter for each member.
    """
    return column.op("IN", is_comparison=True)(_MembersOf(bindparam(name)))


def _values(parameters: Parameters, order: tuple[str, ...] | None) -> Any:
    return parameters if order is None else tuple(parameters[name] for name in order)
