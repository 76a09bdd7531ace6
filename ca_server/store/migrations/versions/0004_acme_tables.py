"""Tables of ACME."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "rate_limit",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=320), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "subject", name=op.f("pk_rate_limit")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_rate_limit_full_at"), "rate_limit", ["full_at"], unique=False)
    op.create_table(
        "acme_validation",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("challenge_id", sa.String(length=36), nullable=False),
        sa.Column("identifier", sa.String(length=300), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=True),
        sa.CheckConstraint("outcome = 'retry' OR event_id IS NOT NULL", name="acme_validation_event"),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["audit_event.event_id"],
            name=op.f("fk_acme_validation_event_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_acme_validation")),
        sa.UniqueConstraint("event_id", name=op.f("uq_acme_validation_event_id")),
    )
    op.create_index(
        op.f("ix_acme_validation_challenge_id"), "acme_validation", ["challenge_id"], unique=False
    )
    op.create_table(
        "external_account_key",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("hmac_key", sa.LargeBinary(), nullable=True),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("profiles", sa.Text(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.CheckConstraint("uses <= max_uses", name="external_account_key_uses"),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["audit_event.event_id"],
            name=op.f("fk_external_account_key_event_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_account_key")),
        sa.UniqueConstraint("event_id", name=op.f("uq_external_account_key_event_id")),
    )
    op.create_table(
        "renewal_flag",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("scope", sa.String(length=12), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("explanation_url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["audit_event.event_id"],
            name=op.f("fk_renewal_flag_event_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_renewal_flag")),
        sa.UniqueConstraint("event_id", name=op.f("uq_renewal_flag_event_id")),
    )
    op.create_table(
        "acme_account",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("directory", sa.String(length=64), nullable=False),
        sa.Column("key_thumbprint", sa.String(length=43), nullable=False),
        sa.Column("jwk", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("contacts", sa.Text(), nullable=False),
        sa.Column("terms_agreed_at", sa.BigInteger(), nullable=True),
        sa.Column("external_account_key_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["audit_event.event_id"],
            name=op.f("fk_acme_account_event_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["external_account_key_id"],
            ["external_account_key.id"],
            name=op.f("fk_acme_account_external_account_key_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_account")),
        sa.UniqueConstraint(
            "directory", "key_thumbprint", name=op.f("uq_acme_account_directory_key_thumbprint")
        ),
        sa.UniqueConstraint("event_id", name=op.f("uq_acme_account_event_id")),
    )
    op.create_table(
        "acme_authorization",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("identifier", sa.String(length=300), nullable=False),
        sa.Column("wildcard", sa.Integer(), nullable=False),
        sa.Column("subdomains", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("evidence_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("caa_checked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status <> 'valid' OR evidence_number IS NOT NULL", name="acme_authorization_evidence"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["acme_account.id"], name=op.f("fk_acme_authorization_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["evidence_number"],
            ["acme_validation.number"],
            name=op.f("fk_acme_authorization_evidence_number"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_authorization")),
    )
    op.create_index(
        "ix_acme_authorization_account", "acme_authorization", ["account_id", "identifier"], unique=False
    )
    op.create_table(
        "acme_failure",
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("identifier", sa.String(length=300), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["acme_account.id"], name=op.f("fk_acme_failure_account_id")),
        sa.PrimaryKeyConstraint("account_id", "identifier", name=op.f("pk_acme_failure")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acme_challenge",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("authorization_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("validated_at", sa.BigInteger(), nullable=True),
        sa.Column("account_url", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["authorization_id"], ["acme_authorization.id"], name=op.f("fk_acme_challenge_authorization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_challenge")),
        sa.UniqueConstraint("authorization_id", "type", name=op.f("uq_acme_challenge_authorization_id_type")),
    )
    op.create_table(
        "acme_order",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("identifiers", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("not_after", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("replaces", sa.String(length=64), nullable=True),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.String(length=64), nullable=True),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.CheckConstraint(
            "(status = 'valid') = (certificate_id IS NOT NULL)", name="acme_order_certificate"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["acme_account.id"], name=op.f("fk_acme_order_account_id")),
        sa.ForeignKeyConstraint(
            ["certificate_id"], ["certificate.id"], name=op.f("fk_acme_order_certificate_id")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["audit_event.event_id"],
            name=op.f("fk_acme_order_event_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["replaces"], ["certificate.id"], name=op.f("fk_acme_order_replaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_order")),
        sa.UniqueConstraint("certificate_id", name=op.f("uq_acme_order_certificate_id")),
        sa.UniqueConstraint("event_id", name=op.f("uq_acme_order_event_id")),
    )
    op.create_index("ix_acme_order_account", "acme_order", ["account_id", "id"], unique=False)
    op.create_index(op.f("ix_acme_order_replaces"), "acme_order", ["replaces"], unique=False)
    op.create_index(
        "uq_acme_order_replaces",
        "acme_order",
        ["replaces"],
        unique=True,
        sqlite_where=sa.text("replaces IS NOT NULL AND status <> 'invalid'"),
        postgresql_where=sa.text("replaces IS NOT NULL AND status <> 'invalid'"),
    )
    op.create_table(
        "acme_finalization",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("order_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["acme_order.id"], name=op.f("fk_acme_finalization_order_id")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["certificate_request.id"], name=op.f("fk_acme_finalization_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_acme_finalization")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_acme_finalization_order_id"), "acme_finalization", ["order_id"], unique=False)
    op.create_table(
        "acme_order_authorization",
        sa.Column("order_id", sa.String(length=36), nullable=False),
        sa.Column("authorization_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["authorization_id"],
            ["acme_authorization.id"],
            name=op.f("fk_acme_order_authorization_authorization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["acme_order.id"], name=op.f("fk_acme_order_authorization_order_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "authorization_id", name=op.f("pk_acme_order_authorization")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_acme_order_authorization_authorization_id"),
        "acme_order_authorization",
        ["authorization_id"],
        unique=False,
    )
