"""The tables. Times are seconds since 1970, serial numbers 40 lower-case hex digits, ids hex text.

What the database itself guarantees: no certificate, revocation, CRL, token or grant without its audit
event; no certificate without its intent; no serial number twice under one authority; no event changed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the key is exactly INTEGER.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


def event_reference(name: str = "event_id", *, unique: bool = True, nullable: bool = False) -> Column[str]:
    """A column that must name an audit event; checked at commit, so order within a transaction is free."""
    reference = ForeignKey("audit_event.event_id", deferrable=True, initially="DEFERRED")
    return Column(name, String(36), reference, nullable=nullable, unique=unique)


audit_event = Table(
    "audit_event",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("leaf_index", BigInteger, nullable=True),
)
Index(
    "ix_audit_event_unsequenced",
    audit_event.c.number,
    sqlite_where=text("leaf_index IS NULL"),
    postgresql_where=text("leaf_index IS NULL"),
)

# Partial, so that a new event, which has no place yet, does not touch it.
Index(
    "uq_audit_event_leaf_index",
    audit_event.c.leaf_index,
    unique=True,
    sqlite_where=text("leaf_index IS NOT NULL"),
    postgresql_where=text("leaf_index IS NOT NULL"),
)

log_state = Table(
    "log_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("leader", Text, nullable=True),
    Column("lease_until", BigInteger, nullable=False),
    Column("tree_size", BigInteger, nullable=False),
    Column("root_hash", LargeBinary, nullable=False),
)

tree_tile = Table(
    "tree_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("tile_index", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

tree_head = Table(
    "tree_head",
    metadata,
    Column("tree_size", BigInteger, primary_key=True, autoincrement=False),
    Column("root_hash", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("note", Text, nullable=True),
)

authority = Table(
    "authority",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("issuer_id", ForeignKey("authority.id"), nullable=True),
    Column("role", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("certificate_der", LargeBinary, nullable=False),
    Column("serial_number", String(40), nullable=False),
    Column("spki_sha256", String(64), nullable=False, unique=True),
    Column("key_uri", Text, nullable=True),
    Column("signature_algorithm", String(32), nullable=False),
    Column("last_crl_number", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    event_reference(),
)

certificate_request = Table(
    "certificate_request",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("profile", String(64), nullable=False),
    Column("csr_der", LargeBinary, nullable=False),
    Column("requested", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("rule_ids", Text, nullable=False),
    Column("detail", Text, nullable=False),
    # The id is the key of every look-up and sorts by time: on SQLite one tree serves for two.
    sqlite_with_rowid=False,
)
# Partial: what never waited does not touch it.
Index(
    "ix_certificate_request_pending",
    certificate_request.c.principal_id,
    certificate_request.c.id,
    sqlite_where=text("status = 'pending'"),
    postgresql_where=text("status = 'pending'"),
)

issuance_intent = Table(
    "issuance_intent",
    metadata,
    Column("authority_id", ForeignKey("authority.id"), primary_key=True),
    Column("serial_number", String(40), primary_key=True),
    event_reference(),
    Column("request_id", ForeignKey("certificate_request.id"), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("profile", String(64), nullable=False),
    Column("signature_algorithm", String(32), nullable=False),
    Column("tbs_sha256", String(64), nullable=False),
    Column("tbs", LargeBinary, nullable=True),
)
Index(
    "ix_issuance_intent_open",
    issuance_intent.c.created_at,
    sqlite_where=text("state = 'intent'"),
    postgresql_where=text("state = 'intent'"),
)

certificate = Table(
    "certificate",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("authority_id", String(64), nullable=False),
    Column("serial_number", String(40), nullable=False),
    event_reference("issued_event_id"),
    Column("profile", String(64), nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("spki_sha256", String(64), nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("der", LargeBinary, nullable=False),
    UniqueConstraint("authority_id", "serial_number"),
    ForeignKeyConstraint(
        ["authority_id", "serial_number"],
        ["issuance_intent.authority_id", "issuance_intent.serial_number"],
    ),
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("principal_id", String(128), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("request_id", ForeignKey("certificate_request.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

revocation = Table(
    "revocation",
    metadata,
    Column("authority_id", ForeignKey("authority.id"), primary_key=True),
    Column("serial_number", String(40), primary_key=True),
    Column("revoked_at", BigInteger, nullable=False),
    Column("reason", String(24), nullable=False),
    Column("invalidity_date", BigInteger, nullable=True),
    Column("not_after", BigInteger, nullable=False),
    Column("released_at", BigInteger, nullable=True),
    event_reference(),
    event_reference("released_event_id", nullable=True),
)

crl = Table(
    "crl",
    metadata,
    Column("authority_id", ForeignKey("authority.id"), primary_key=True),
    Column("crl_number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(10), nullable=False),
    Column("this_update", BigInteger, nullable=False),
    Column("next_update", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("tbs_sha256", String(64), nullable=False),
    Column("sha256", String(64), nullable=True),
    Column("der", LargeBinary, nullable=True),
    event_reference("intent_event_id"),
    event_reference("event_id", nullable=True),
)

watermark = Table(
    "watermark",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

due_work = Table(
    "due_work",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("subject", String(128), primary_key=True),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("lease_owner", Text, nullable=True),
    Column("lease_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text, nullable=True),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("profiles", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    event_reference(),
)

client_grant = Table(
    "client_grant",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("spki_sha256", String(64), nullable=False, unique=True),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("profiles", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    event_reference(),
)

compromised_key = Table(
    "compromised_key",
    metadata,
    Column("spki_sha256", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    event_reference(),
)

lint_finding = Table(
    "lint_finding",
    metadata,
    Column("certificate_id", String(64), primary_key=True),
    Column("code", String(128), primary_key=True),
    Column("severity", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    event_reference(unique=True),
)
