"""The tables of EST, and of approvals: what lets somebody enrol, and what came of it.

What the database itself guarantees: no enrolment secret and no approval without its audit event; a secret is
never used more often than it may be; an officer decides once on a request, for ever.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text

from ca_server.store.tables import event_reference, metadata

enrolment_secret = Table(
    "enrolment_secret",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("profile", String(64), nullable=False),
    Column("names", Text, nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    event_reference(),
    CheckConstraint("uses <= max_uses", name="enrolment_secret_uses"),
)

# One row a certificate that was asked for over EST, stored with its intent.
enrolment = Table(
    "enrolment",
    metadata,
    Column("request_id", ForeignKey("certificate_request.id"), primary_key=True),
    Column("secret_id", ForeignKey("enrolment_secret.id"), nullable=True, index=True),
    Column("predecessor_id", ForeignKey("certificate.id"), nullable=True, index=True),
    # 0 for the first certificate of a chain of renewals, which was issued at first_at.
    Column("renewals", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

approval = Table(
    "approval",
    metadata,
    Column("request_id", ForeignKey("certificate_request.id"), primary_key=True),
    Column("principal_id", String(128), primary_key=True),
    # approved | rejected
    Column("decision", String(8), nullable=False),
    Column("comment", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    event_reference(),
    sqlite_with_rowid=False,
)
