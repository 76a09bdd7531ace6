"""What the OCSP responder may read, and nothing else: two views that its database role is granted.

Every issued certificate has a row, so that a serial number without one was never issued and is never
"good". An authority's own certificate has one too, under the authority that issued it; a root's has none.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_VIEWS = (
    """
    CREATE VIEW certificate_status AS
    SELECT issued.authority_id, issued.serial_number, issued.issued_at,
           revoked.revoked_at, revoked.reason, revoked.invalidity_date, revoked.released_at
    FROM (
        SELECT certificate.authority_id, certificate.serial_number, issuance_intent.created_at AS issued_at
        FROM certificate
        JOIN issuance_intent ON issuance_intent.authority_id = certificate.authority_id
            AND issuance_intent.serial_number = certificate.serial_number
        UNION ALL
        SELECT authority.issuer_id, authority.serial_number, authority.created_at
        FROM authority
        WHERE authority.issuer_id <> authority.id
    ) AS issued
    LEFT JOIN revocation AS revoked ON revoked.authority_id = issued.authority_id
        AND revoked.serial_number = issued.serial_number
    """,
    """
    CREATE VIEW status_watermark AS
    SELECT COALESCE(MAX(value), 0) AS value FROM watermark WHERE name = 'revocation'
    """,
)


def upgrade() -> None:
    for statement in _VIEWS:
        op.execute(statement)
