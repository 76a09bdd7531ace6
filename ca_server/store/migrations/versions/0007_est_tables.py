"""Enrolment secrets and enrolments of EST, and approvals of requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ca_server.store.migrations.guards import forbid_changes, freeze_columns, freeze_rows, keep_rows

revision = "0007"
down_revision = "0006"

_FROZEN = ("approval", "enrolment")
_KEEP_ROWS = ("enrolment_secret",)
_NEVER = {
    # A use is never given back, and what was revoked stays so, since then.
    "enrolment_secret": "NEW.uses < OLD.uses OR "
    "(OLD.revoked_at IS NOT NULL AND (NEW.revoked_at IS NULL OR NEW.revoked_at <> OLD.revoked_at))",
    # What ended stays as it ended, and nothing comes back to wait.
    "certificate_request": "NEW.status <> OLD.status AND "
    "(NEW.status = 'pending' OR OLD.status NOT IN ('pending', 'intent'))",
}
# All of a secret but how often it was used and when it was revoked.
_SECRET = ("id", "digest", "owner", "profile", "names", "max_uses", "created_at", "not_after", "event_id")
# What officers approve is what was asked for, for ever.
_ASKED = ("id", "created_at", "protocol", "principal_id", "profile", "csr_der", "requested")


def upgrade() -> None:
    _create_tables()
    keep_rows((*_FROZEN, *_KEEP_ROWS))
    freeze_rows(_FROZEN)
    freeze_columns("enrolment_secret", _SECRET)
    freeze_columns("certificate_request", _ASKED)
    forbid_changes(_NEVER)


def _create_tables() -> None:
    op.create_table(
        "enrolment_secret",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.CheckConstraint("uses <= max_uses", name="enrolment_secret_uses"),
        _event("enrolment_secret"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_secret")),
        sa.UniqueConstraint("event_id", name=op.f("uq_enrolment_secret_event_id")),
    )
    op.create_table(
        "enrolment",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("secret_id", sa.String(length=36), nullable=True),
        sa.Column("predecessor_id", sa.String(length=64), nullable=True),
        sa.Column("renewals", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["certificate_request.id"], name=op.f("fk_enrolment_request_id")
        ),
        sa.ForeignKeyConstraint(["secret_id"], ["enrolment_secret.id"], name=op.f("fk_enrolment_secret_id")),
        sa.ForeignKeyConstraint(
            ["predecessor_id"], ["certificate.id"], name=op.f("fk_enrolment_predecessor_id")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_enrolment")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_enrolment_secret_id"), "enrolment", ["secret_id"], unique=False)
    op.create_index(op.f("ix_enrolment_predecessor_id"), "enrolment", ["predecessor_id"], unique=False)
    op.create_table(
        "approval",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("principal_id", sa.String(length=128), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        _event("approval"),
        sa.ForeignKeyConstraint(
            ["request_id"], ["certificate_request.id"], name=op.f("fk_approval_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", "principal_id", name=op.f("pk_approval")),
        sa.UniqueConstraint("event_id", name=op.f("uq_approval_event_id")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_certificate_request_pending",
        "certificate_request",
        ["principal_id", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )


def _event(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["event_id"],
        ["audit_event.event_id"],
        name=op.f(f"fk_{table}_event_id"),
        initially="DEFERRED",
        deferrable=True,
    )
