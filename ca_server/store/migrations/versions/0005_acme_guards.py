"""Rules that the database keeps for ACME: evidence is never changed, what was promised never goes."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_FROZEN = ("acme_finalization", "acme_validation")
_KEEP_ROWS = (
    "acme_account",
    "acme_authorization",
    "acme_challenge",
    "acme_order",
    "acme_order_authorization",
    "external_account_key",
    "renewal_flag",
)
# Table -> what must not become of a row: what ended stays ended, a certificate stays with its order.
_NEVER = {
    "acme_account": "OLD.status <> 'valid' AND NEW.status <> OLD.status",
    "acme_authorization": "OLD.status IN ('invalid', 'deactivated') AND NEW.status <> OLD.status",
    "acme_order": "OLD.status IN ('valid', 'invalid') AND NEW.status <> OLD.status",
    "external_account_key": "NEW.uses < OLD.uses OR NEW.max_uses <> OLD.max_uses",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _upgrade_sqlite()
    else:
        _upgrade_postgresql()


def _upgrade_sqlite() -> None:
    for table in (*_FROZEN, *_KEEP_ROWS):
        op.execute(
            f"CREATE TRIGGER {table}_keep BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} rows are never deleted'); END"
        )
    for table in _FROZEN:
        op.execute(
            f"CREATE TRIGGER {table}_freeze BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
        )
    for table, forbidden in _NEVER.items():
        op.execute(
            f"CREATE TRIGGER {table}_forward BEFORE UPDATE ON {table} WHEN {forbidden} "
            f"BEGIN SELECT RAISE(ABORT, '{table} never goes back'); END"
        )


def _upgrade_postgresql() -> None:
    for table in (*_FROZEN, *_KEEP_ROWS):
        op.execute(
            f"CREATE TRIGGER {table}_keep BEFORE DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_keep_all BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for table in _FROZEN:
        op.execute(
            f"CREATE TRIGGER {table}_freeze BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    for table, forbidden in _NEVER.items():
        op.execute(
            f"CREATE TRIGGER {table}_forward BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({forbidden}) EXECUTE FUNCTION refuse_change()"
        )
