"""What ceremonies handed over: imported bundles, the keys they made, certificates beside the chains.

What the database itself guarantees: no ceremony without its audit event; no key and no certificate without
the ceremony that it is from; nothing of it is ever changed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String, Table, Text

from ca_server.store.tables import event_reference, metadata

ceremony = Table(
    "ceremony",
    metadata,
    Column("bundle_sha256", String(64), primary_key=True),
    Column("id", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("closing_sha256", String(64), nullable=False, unique=True),
    Column("imported_at", BigInteger, nullable=False),
    event_reference(),
    sqlite_with_rowid=False,
)

# Keys that ceremonies made in tokens, so that a certificate that comes later finds its key.
ceremony_key = Table(
    "ceremony_key",
    metadata,
    Column("spki_sha256", String(64), primary_key=True),
    Column("key_uri", Text, nullable=False),
    Column("bundle_sha256", ForeignKey("ceremony.bundle_sha256"), nullable=False, index=True),
    sqlite_with_rowid=False,
)

# Cross and link certificates: other ways up to our authorities, or from them. `name` is what AIA calls it.
authority_certificate = Table(
    "authority_certificate",
    metadata,
    Column("name", String(64), primary_key=True),
    # cross | link
    Column("role", String(16), nullable=False),
    Column("subject_id", ForeignKey("authority.id"), nullable=True, index=True),
    Column("issuer_id", ForeignKey("authority.id"), nullable=True, index=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("der", LargeBinary, nullable=False),
    Column("bundle_sha256", ForeignKey("ceremony.bundle_sha256"), nullable=False, index=True),
    event_reference(),
)
