"""Rules that the database keeps for ACME: evidence is never changed, what was promised never goes."""

from __future__ import annotations

from ca_server.store.migrations.guards import forbid_changes, freeze_rows, keep_rows

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
    keep_rows((*_FROZEN, *_KEEP_ROWS))
    freeze_rows(_FROZEN)
    forbid_changes(_NEVER)
