"""Accounts as officers see them: all of them, and the power to end one."""

from __future__ import annotations

from ca_server.core.acme.resources import Account, Status
from ca_server.core.authorization import Principal
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.roles import Action
from ca_server.services.access import require_permission
from ca_server.services.context import Context, actor_of
from ca_server.store import accounts
from ca_server.store.accounts import AccountFilter


def list_accounts(
    context: Context, reader: Principal, wanted: AccountFilter, *, before: str | None, limit: int
) -> list[Account]:
    """One page, newest first, ended ones too.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(reader, Action.READ_ACCOUNT)
    with context.database.read() as connection:
        return accounts.list_accounts(connection, wanted, before=before, limit=limit)


def show_account(context: Context, reader: Principal, account_id: str) -> Account:
    """One account of whatever directory.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; not_found, `ACME-UNKNOWN`; unavailable.
    """
    require_permission(reader, Action.READ_ACCOUNT)
    with context.database.read() as connection:
        found = accounts.find_account(connection, account_id)
    if found is None:
        raise _unknown()
    return found


def revoke_account(context: Context, principal: Principal, account_id: str) -> Account:
    """End an account for ever, as `revoked`: not by its owner (RFC 8555 §7.1.6). Its certificates stay good.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; not_found, `ACME-UNKNOWN`; conflict, `ACME-ACCOUNT-ENDED`.
    """
    require_permission(principal, Action.DEACTIVATE_ACCOUNT)
    data = {"account": account_id, "status": Status.REVOKED.value}
    event = context.event("account.deactivated", actor_of(principal), data)
    with context.database.write() as unit:
        ended = accounts.end_account(unit, account_id, Status.REVOKED)
        found = accounts.find_account(unit.connection, account_id)
        if found is None:
            raise _unknown()
        if not ended:
            raise refuse(Kind.CONFLICT, "ACME-ACCOUNT-ENDED", f"the account is {found.status} already")
        unit.commit(event)
    return found


def _unknown() -> CaError:
    return refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", "there is no such account")
