"""`sealkeeper acme eab`: the keys by which ACME accounts are bound, straight in the database."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ca_server.cli.database_access import open_database
from ca_server.cli.options import config_option, valid_option
from ca_server.cli.secret_file import secret_file
from ca_server.core.clock import from_epoch, to_epoch, to_text

if TYPE_CHECKING:
    from ca_server.store.external_accounts import ExternalAccountKey

MAX_LISTED = 10_000


@click.group()
def command() -> None:
    """Create, list and revoke external account keys."""


@command.command()
@click.option("--owner", required=True, help="Whose accounts it is for.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    required=True,
    help="Profile they may order, * for any part; repeatable.",
)
@click.option(
    "--allow",
    "names",
    multiple=True,
    required=True,
    help="Names they may order, such as dns:*.example.com; repeatable.",
)
@valid_option
@click.option("--uses", default=1, show_default=True, help="How many accounts it may bind.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the secret in `hmac_key`.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="New file for what is printed.")
@config_option
def create(  # noqa: PLR0913 - one argument an option
    config_file: Path,
    owner: str,
    profiles: tuple[str, ...],
    names: tuple[str, ...],
    valid: timedelta,
    uses: int,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Make a key by which accounts can be bound until it ends; revoking it stops them.

    It is written once, as options for certbot, to standard output or to the new file --out.
    """
    from ca_server.services.acme import external_accounts  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    new = external_accounts.NewExternalAccountKey(owner, profiles, names, valid, uses)
    with secret_file(out) as file:
        key, secret = external_accounts.create_external_account_key(open_database(config_file), OPERATOR, new)
        # First its id: a key whose secret cannot be written is to be revoked.
        ends = to_text(from_epoch(key.not_after))
        click.echo(
            f"{key.id} binds accounts, {key.max_uses} at most, until {ends}",
            err=True,
        )
        if as_json:
            click.echo(json.dumps({**_fields(key), "hmac_key": secret}, indent=2), file=file)
        else:
            click.echo(f"--eab-kid {key.id} --eab-hmac-key {secret}", file=file)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
def list_keys(config_file: Path, *, as_json: bool) -> None:
    """List keys without their secrets, newest first."""
    from ca_server.services.acme import external_accounts  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    context = open_database(config_file)
    found = external_accounts.list_external_account_keys(context, OPERATOR, before=None, limit=MAX_LISTED)
    if as_json:
        click.echo(json.dumps([_fields(each) for each in found], indent=2))
        return
    now = to_epoch(context.clock.now())
    for each in found:
        state = "in force" if each.is_live(now) else "ended"
        ends = to_text(from_epoch(each.not_after))
        click.echo(f"{each.id}\t{state}\t{each.uses}/{each.max_uses}\t{ends}\t{each.owner}")


@command.command()
@click.argument("key_id")
@config_option
def revoke(config_file: Path, key_id: str) -> None:
    """End the key KEY_ID for ever: it binds no account any more, and those that it has bound cannot order."""
    from ca_server.services.acme import external_accounts  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    external_accounts.revoke_external_account_key(open_database(config_file), OPERATOR, key_id)


def _fields(key: ExternalAccountKey) -> dict[str, object]:
    """As REST shows it."""
    return {
        "id": key.id,
        "owner": key.owner,
        "profiles": list(key.profiles),
        "names": list(key.names),
        "max_uses": key.max_uses,
        "uses": key.uses,
        "created_at": to_text(from_epoch(key.created_at)),
        "not_after": to_text(from_epoch(key.not_after)),
        "revoked_at": None if key.revoked_at is None else to_text(from_epoch(key.revoked_at)),
    }
