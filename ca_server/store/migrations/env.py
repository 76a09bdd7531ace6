"""Runs migrations on the connection that `store.migrate` hands over; there is no offline mode."""

from __future__ import annotations

from alembic import context

from ca_server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
