"""Imported ceremonies, the keys they made, and certificates beside the chains of our authorities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ca_server.store.migrations.guards import freeze_rows, keep_rows

revision = "0008"
down_revision = "0007"

_TABLES = ("ceremony", "ceremony_key", "authority_certificate")


def upgrade() -> None:
    _create_tables()
    keep_rows(_TABLES)
    freeze_rows(_TABLES)


def _create_tables() -> None:
    op.create_table(
        "ceremony",
        sa.Column("bundle_sha256", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("closing_sha256", sa.String(length=64), nullable=False),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        _event("ceremony"),
        sa.PrimaryKeyConstraint("bundle_sha256", name=op.f("pk_ceremony")),
        sa.UniqueConstraint("closing_sha256", name=op.f("uq_ceremony_closing_sha256")),
        sa.UniqueConstraint("event_id", name=op.f("uq_ceremony_event_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ceremony_key",
        sa.Column("spki_sha256", sa.String(length=64), nullable=False),
        sa.Column("key_uri", sa.Text(), nullable=False),
        sa.Column("bundle_sha256", sa.String(length=64), nullable=False),
        _bundle("ceremony_key"),
        sa.PrimaryKeyConstraint("spki_sha256", name=op.f("pk_ceremony_key")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_ceremony_key_bundle_sha256"), "ceremony_key", ["bundle_sha256"], unique=False)
    op.create_table(
        "authority_certificate",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=True),
        sa.Column("issuer_id", sa.String(length=64), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("bundle_sha256", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        _bundle("authority_certificate"),
        _event("authority_certificate"),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["authority.id"], name=op.f("fk_authority_certificate_subject_id")
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id"], ["authority.id"], name=op.f("fk_authority_certificate_issuer_id")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_authority_certificate")),
        sa.UniqueConstraint("sha256", name=op.f("uq_authority_certificate_sha256")),
        sa.UniqueConstraint("event_id", name=op.f("uq_authority_certificate_event_id")),
    )
    for column in ("subject_id", "issuer_id", "bundle_sha256"):
        name = op.f(f"ix_authority_certificate_{column}")
        op.create_index(name, "authority_certificate", [column], unique=False)


def _bundle(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["bundle_sha256"], ["ceremony.bundle_sha256"], name=op.f(f"fk_{table}_bundle_sha256")
    )


def _event(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["event_id"],
        ["audit_event.event_id"],
        name=op.f(f"fk_{table}_event_id"),
        initially="DEFERRED",
        deferrable=True,
    )
