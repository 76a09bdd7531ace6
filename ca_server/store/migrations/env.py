"""Runs migrations in the transaction that `store.migrate` has begun; there is no offline mode.

Alembic leaves a transaction that it finds alone: nothing is committed here.
"""

from __future__ import annotations

from alembic import context

from ca_server.store import acme_tables, ceremony_tables, est_tables
from ca_server.store.tables import metadata

_TABLES = (acme_tables.acme_order, ceremony_tables.ceremony, est_tables.approval)
assert all(table.metadata is metadata for table in _TABLES)

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
