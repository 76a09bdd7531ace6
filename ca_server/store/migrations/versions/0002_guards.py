"""Rules that the database keeps by itself: what was logged, issued or promised is never changed."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# Table -> columns that may change once from NULL; no other column may change, no row may go. What may
# become of an intent's state and bytes, `_settles` says.
_SET_ONCE = {
    "audit_event": ("leaf_index",),
    "certificate": (),
    "issuance_intent": (),
    "tree_head": ("note",),
}
_KEEP_ROWS = (
    "api_token",
    "authority",
    "certificate_request",
    "client_grant",
    "compromised_key",
    "crl",
    "log_state",
    "revocation",
    "tree_tile",
)
# Table -> what must not become of a row: the log never gets shorter, a number is never given twice.
_NEVER = {
    "log_state": "NEW.tree_size < OLD.tree_size",
    "authority": "NEW.last_crl_number < OLD.last_crl_number",
}
_COLUMNS = {
    "audit_event": ("number", "event_id", "kind", "time", "body", "leaf_hash", "leaf_index"),
    "certificate": (
        "number",
        "id",
        "authority_id",
        "serial_number",
        "issued_event_id",
        "profile",
        "principal_id",
        "protocol",
        "subject",
        "names",
        "spki_sha256",
        "not_before",
        "not_after",
        "der",
    ),
    "issuance_intent": (
        "authority_id",
        "serial_number",
        "event_id",
        "request_id",
        "created_at",
        "profile",
        "signature_algorithm",
        "tbs_sha256",
    ),
    "tree_head": ("tree_size", "root_hash", "time", "note"),
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _upgrade_sqlite()
    else:
        _upgrade_postgresql()


def _upgrade_sqlite() -> None:
    for table in (*_SET_ONCE, *_KEEP_ROWS):
        op.execute(
            f"CREATE TRIGGER {table}_keep BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} rows are never deleted'); END"
        )
    for table, set_once in _SET_ONCE.items():
        changed = " OR ".join(_changed(table, set_once, "IS NOT"))
        op.execute(
            f"CREATE TRIGGER {table}_freeze BEFORE UPDATE ON {table} WHEN {changed} "
            f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
        )
    for table, forbidden in _NEVER.items():
        op.execute(
            f"CREATE TRIGGER {table}_forward BEFORE UPDATE ON {table} WHEN {forbidden} "
            f"BEGIN SELECT RAISE(ABORT, '{table} never goes back'); END"
        )


def _upgrade_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in (*_SET_ONCE, *_KEEP_ROWS):
        op.execute(
            f"CREATE TRIGGER {table}_keep BEFORE DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_keep_all BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for table, set_once in _SET_ONCE.items():
        changed = " OR ".join(_changed(table, set_once, "IS DISTINCT FROM"))
        op.execute(
            f"CREATE TRIGGER {table}_freeze BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({changed}) EXECUTE FUNCTION refuse_change()"
        )
    for table, forbidden in _NEVER.items():
        op.execute(
            f"CREATE TRIGGER {table}_forward BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({forbidden}) EXECUTE FUNCTION refuse_change()"
        )


def _changed(table: str, set_once: tuple[str, ...], differs: str) -> list[str]:
    """Conditions under which an update breaks the rule."""
    rules = []
    for column in _COLUMNS[table]:
        difference = f"NEW.{column} {differs} OLD.{column}"
        rules.append(f"(OLD.{column} IS NOT NULL AND {difference})" if column in set_once else difference)
    if table == "issuance_intent":
        rules += _settles(differs)
    return rules


def _settles(differs: str) -> list[str]:
    """An intent is settled once, for good, and its bytes go only when it is settled."""
    outcome = "(OLD.state = 'intent' AND NEW.state IN ('done', 'abandoned'))"
    gone = "(NEW.tbs IS NULL AND NEW.state <> 'intent')"
    return [
        f"(NEW.state {differs} OLD.state AND NOT {outcome})",
        f"(NEW.tbs {differs} OLD.tbs AND NOT {gone})",
    ]
