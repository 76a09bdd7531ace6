"""The tables of ACME (RFC 8555 §7.1): accounts, orders, authorizations, challenges and what bounds them.

What the database itself guarantees: no account, order, external account key or validation without its
audit event; no valid authorization without the evidence of a validation; one account for a key in a
directory; one order that replaces a certificate.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ca_server.store.tables import RowNumber, event_reference, metadata

# How a member of an external account binding is bounded: JSON arrays of patterns, as in api_token.
external_account_key = Table(
    "external_account_key",
    metadata,
    Column("id", String(36), primary_key=True),
    # NULL once the key is used up, revoked or has ended: a secret is kept no longer than it is needed.
    Column("hmac_key", LargeBinary, nullable=True),
    Column("owner", String(128), nullable=False),
    Column("profiles", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    event_reference(),
    CheckConstraint("uses <= max_uses", name="external_account_key_uses"),
)

acme_account = Table(
    "acme_account",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("directory", String(64), nullable=False),
    Column("key_thumbprint", String(43), nullable=False),
    Column("jwk", Text, nullable=False),
    # valid | deactivated (by its owner) | revoked (by an officer)
    Column("status", String(12), nullable=False),
    Column("contacts", Text, nullable=False),
    Column("terms_agreed_at", BigInteger, nullable=True),
    Column("external_account_key_id", ForeignKey("external_account_key.id"), nullable=True),
    Column("created_at", BigInteger, nullable=False),
    event_reference(),
    UniqueConstraint("directory", "key_thumbprint"),
)

# One row an attempt, never changed: the evidence that an authorization rests on. It is written before
# the authorization points at it, so its challenge is named without a foreign key.
acme_validation = Table(
    "acme_validation",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("challenge_id", String(36), nullable=False, index=True),
    Column("identifier", String(300), nullable=False),
    Column("type", String(20), nullable=False),
    Column("at", BigInteger, nullable=False),
    # success | retry | failure
    Column("outcome", String(8), nullable=False),
    Column("error", Text, nullable=True),
    # JSON: what was asked of whom and what came back, bounded in size
    Column("evidence", Text, nullable=False),
    # Attempts that are tried again have no event of their own.
    event_reference(nullable=True),
    CheckConstraint("outcome = 'retry' OR event_id IS NOT NULL", name="acme_validation_event"),
)

acme_authorization = Table(
    "acme_authorization",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", ForeignKey("acme_account.id"), nullable=False),
    # `type:value` without the wildcard's label, which `wildcard` stands for.
    Column("identifier", String(300), nullable=False),
    Column("wildcard", Integer, nullable=False),
    # 1 where it also covers every name below (RFC 9444).
    Column("subdomains", Integer, nullable=False),
    # pending | valid | invalid | deactivated; that it expired follows from expires_at
    Column("status", String(12), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("evidence_number", ForeignKey("acme_validation.number"), nullable=True),
    Column("caa_checked_at", BigInteger, nullable=True),
    CheckConstraint("status <> 'valid' OR evidence_number IS NOT NULL", name="acme_authorization_evidence"),
    Index("ix_acme_authorization_account", "account_id", "identifier"),
)

acme_challenge = Table(
    "acme_challenge",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("authorization_id", ForeignKey("acme_authorization.id"), nullable=False),
    Column("type", String(20), nullable=False),
    Column("token", String(64), nullable=False),
    # pending | processing | valid | invalid
    Column("status", String(12), nullable=False),
    # The newest failure as JSON: {"type": word of RFC 8555 §6.7, "detail": text}
    Column("error", Text, nullable=True),
    Column("validated_at", BigInteger, nullable=True),
    # The account's URL as the client that answered knows it (its `kid`).
    Column("account_url", Text, nullable=True),
    UniqueConstraint("authorization_id", "type"),
)

acme_order = Table(
    "acme_order",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", ForeignKey("acme_account.id"), nullable=False),
    Column("profile", String(64), nullable=False),
    # pending | processing | valid | invalid; "ready" follows from the authorizations, see core.acme.states
    Column("status", String(12), nullable=False),
    # JSON array of {"type", "value", "ancestorDomain"?} in the client's order
    Column("identifiers", Text, nullable=False),
    Column("not_before", BigInteger, nullable=True),
    Column("not_after", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("error", Text, nullable=True),
    # The newest finalize that was refused before the gate, as JSON.
    Column("refusal", Text, nullable=True),
    Column("replaces", ForeignKey("certificate.id"), nullable=True, index=True),
    # 0 for a renewal in time, which counts against no limit (RFC 9773 §5).
    Column("counted", Integer, nullable=False),
    Column("certificate_id", ForeignKey("certificate.id"), nullable=True, unique=True),
    event_reference(),
    CheckConstraint("(status = 'valid') = (certificate_id IS NOT NULL)", name="acme_order_certificate"),
    Index("ix_acme_order_account", "account_id", "id"),
)
Index(
    "uq_acme_order_replaces",
    acme_order.c.replaces,
    unique=True,
    sqlite_where=text("replaces IS NOT NULL AND status <> 'invalid'"),
    postgresql_where=text("replaces IS NOT NULL AND status <> 'invalid'"),
)

acme_order_authorization = Table(
    "acme_order_authorization",
    metadata,
    Column("order_id", ForeignKey("acme_order.id"), primary_key=True),
    Column("authorization_id", ForeignKey("acme_authorization.id"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

# Which certificate request finalizes which order; refused ones are kept too.
acme_finalization = Table(
    "acme_finalization",
    metadata,
    Column("request_id", ForeignKey("certificate_request.id"), primary_key=True),
    Column("order_id", ForeignKey("acme_order.id"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

# Who fails for days is paused: failures in a row for one name of one account.
acme_failure = Table(
    "acme_failure",
    metadata,
    Column("account_id", ForeignKey("acme_account.id"), primary_key=True),
    Column("identifier", String(300), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("paused_at", BigInteger, nullable=True),
    sqlite_with_rowid=False,
)

# A bucket that leaks: `full_at` is when it would be full again if nobody asked, in milliseconds.
rate_limit = Table(
    "rate_limit",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("subject", String(320), primary_key=True),
    Column("full_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# Certificates that should be renewed now although they are good: one, or all of an authority or profile.
renewal_flag = Table(
    "renewal_flag",
    metadata,
    Column("id", String(36), primary_key=True),
    # certificate | authority | profile
    Column("scope", String(12), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("explanation_url", Text, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    event_reference(),
)

# Nonces that were redeemed; see store.nonces for where these two are kept.
# A value begins with its time, so that old ones are one end of the index.
acme_nonce = Table(
    "acme_nonce", metadata, Column("value", LargeBinary, primary_key=True), sqlite_with_rowid=False
)

# One row a boot of the machine; where the database itself forgets, or never does, `boot` is empty.
acme_nonce_key = Table(
    "acme_nonce_key",
    metadata,
    Column("boot", String(36), primary_key=True),
    Column("key", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
