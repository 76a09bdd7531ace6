"""`sealkeeper acme account`: the accounts of ACME clients, straight from the database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ca_server.cli.database_access import open_database
from ca_server.cli.options import config_option
from ca_server.core.clock import from_epoch, to_text

if TYPE_CHECKING:
    from ca_server.core.acme.resources import Account

MAX_LISTED = 10_000

_STATUSES = ("valid", "deactivated", "revoked")


@click.group()
def command() -> None:
    """List, show, deactivate and unpause the accounts of ACME clients."""


@command.command("list")
@click.option("--directory", help="Accounts of this directory alone; it has its profile's name.")
@click.option("--status", type=click.Choice(_STATUSES), help="Accounts in this state alone.")
@click.option("--eab", "key_id", help="Accounts that are bound to this external account key alone.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MAX_LISTED), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
def list_accounts(
    config_file: Path,
    directory: str | None,
    status: str | None,
    key_id: str | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List accounts, newest first."""
    from ca_server.core.acme.resources import Status  # noqa: PLC0415 - start quickly
    from ca_server.services.acme import account_oversight  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly
    from ca_server.store.accounts import AccountFilter  # noqa: PLC0415 - start quickly

    wanted = AccountFilter(directory, None if status is None else Status(status), key_id)
    found = account_oversight.list_accounts(
        open_database(config_file), OPERATOR, wanted, before=None, limit=limit
    )
    if as_json:
        click.echo(json.dumps([_fields(each) for each in found], indent=2))
        return
    for each in found:
        bound = each.binding.owner if each.binding else "-"
        contacts = ",".join(each.contacts) or "-"
        created = to_text(from_epoch(each.created_at))
        click.echo(f"{each.id}\t{each.status}\t{created}\t{each.directory}\t{bound}\t{contacts}")


@command.command()
@click.argument("account_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_option
def show(config_file: Path, account_id: str, *, as_json: bool) -> None:
    """Show the account ACCOUNT_ID."""
    from ca_server.services.acme.account_oversight import show_account  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    fields = _fields(show_account(open_database(config_file), OPERATOR, account_id))
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")


@command.command()
@click.argument("account_id")
@config_option
def deactivate(config_file: Path, account_id: str) -> None:
    """End the account ACCOUNT_ID for ever; its certificates stay good until they are revoked."""
    from ca_server.services.acme.account_oversight import revoke_account  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    revoke_account(open_database(config_file), OPERATOR, account_id)


@command.command()
@click.argument("account_id")
@click.argument("name", required=False)
@config_option
def unpause(config_file: Path, account_id: str, name: str | None) -> None:
    """Let ACCOUNT_ID order NAME (such as dns:www.example.com) again, or all names that are paused for it."""
    from ca_server.services.acme.pausing import unpause_account  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    for each in unpause_account(open_database(config_file), OPERATOR, account_id, name):
        click.echo(each)


def _fields(account: Account) -> dict[str, object]:
    """As REST shows it."""
    bound = account.binding
    agreed_at = account.terms_agreed_at
    return {
        "id": account.id,
        "directory": account.directory,
        "status": account.status.value,
        "key_thumbprint": account.thumbprint,
        "contacts": list(account.contacts),
        "terms_agreed_at": None if agreed_at is None else to_text(from_epoch(agreed_at)),
        "created_at": to_text(from_epoch(account.created_at)),
        "binding": bound
        and {
            "external_account_key": bound.key_id,
            "owner": bound.owner,
            "profiles": list(bound.profiles),
            "names": list(bound.names),
        },
    }
