"""Redeemed nonces, and which rows of ACME may be forgotten.

On PostgreSQL the two tables are unlogged: after a crash they are empty, and nonces of before are worth
nothing because the key that they were made with is gone too. On SQLite they are in a file of their own
(`store.nonces`), and those made here stay empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Nothing else of this database is ever deleted, so nobody else is granted it.
_FORGOTTEN = ("acme_failure", "acme_nonce", "acme_nonce_key", "due_work", "rate_limit")


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    prefixes = ["UNLOGGED"] if is_postgresql else []
    op.create_table(
        "acme_nonce",
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("value", name=op.f("pk_acme_nonce")),
        prefixes=prefixes,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acme_nonce_key",
        sa.Column("boot", sa.String(length=36), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("boot", name=op.f("pk_acme_nonce_key")),
        prefixes=prefixes,
        sqlite_with_rowid=False,
    )
    if is_postgresql:
        for table in _FORGOTTEN:
            _let_writers_delete(table)


def _let_writers_delete(table: str) -> None:
    """Whoever may write a table, by whatever name the operator gave the role, may delete from it."""
    op.execute(
        f"""
        DO $$ DECLARE writer text; BEGIN
          FOR writer IN SELECT grantee FROM information_schema.role_table_grants
            WHERE table_schema = current_schema() AND table_name = '{table}' AND privilege_type = 'INSERT'
          LOOP EXECUTE format('GRANT DELETE ON {table} TO %I', writer); END LOOP;
        END $$
        """  # noqa: S608 - our own tables' names
    )
