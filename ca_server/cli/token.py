"""`sealkeeper token`: API tokens straight in the database, for the first one and for emergencies."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import click

from ca_server.cli.database_access import open_database
from ca_server.cli.options import config_option, valid_option
from ca_server.cli.secret_file import secret_file
from ca_server.core.authorization import Role
from ca_server.core.clock import to_text


@click.group()
def command() -> None:
    """Create, list and revoke API tokens."""


@command.command()
@click.option(
    "--role", type=click.Choice([each.value for each in Role]), required=True, help="What it may do."
)
@click.option("--name", required=True, help="Whose token this is.")
@click.option(
    "--profile", "profiles", multiple=True, help="Profile it may ask for, * for any part; repeatable."
)
@click.option(
    "--allow", "names", multiple=True, help="Names it may ask for, such as dns:*.example.com; repeatable."
)
@valid_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the secret.")
@config_option
def create(  # noqa: PLR0913 - one argument an option
    config_file: Path,
    role: str,
    name: str,
    profiles: tuple[str, ...],
    names: tuple[str, ...],
    valid: timedelta,
    out: Path | None,
) -> None:
    """Make an API token; its secret is written once, to standard output or to the new file --out."""
    from ca_server.services.credentials import OPERATOR, Grant, create_token  # noqa: PLC0415 - start quickly

    grant = Grant(name, Role(role), profiles, names, valid)
    with secret_file(out) as file:
        token, secret = create_token(open_database(config_file), OPERATOR, grant)
        # First its id: a token whose secret cannot be written is to be revoked.
        click.echo(f"token {token.id} ends {to_text(token.not_after)}", err=True)
        click.echo(secret, file=file)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
def list_tokens(config_file: Path, *, as_json: bool) -> None:
    """List API tokens without their secrets, newest first."""
    from ca_server.services.credentials import OPERATOR, list_credentials  # noqa: PLC0415 - start quickly
    from ca_server.store.access import CredentialType  # noqa: PLC0415 - start quickly

    context = open_database(config_file)
    tokens = list_credentials(context, OPERATOR, CredentialType.TOKEN, after=None, limit=10_000)
    rows = [
        {
            "id": each.id,
            "name": each.name,
            "role": each.role.value,
            "profiles": each.profiles,
            "names": each.names,
            "not_after": to_text(each.not_after),
            "in_force": each.is_live(context.clock.now()),
        }
        for each in tokens
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = "in force" if row["in_force"] else "ended"
        click.echo(f"{row['id']}\t{row['role']}\t{state}\t{row['not_after']}\t{row['name']}")


@command.command()
@click.argument("token_id")
@config_option
def revoke(config_file: Path, token_id: str) -> None:
    """End the API token TOKEN_ID for ever."""
    from ca_server.services.credentials import OPERATOR, revoke_credential  # noqa: PLC0415 - start quickly
    from ca_server.store.access import CredentialType  # noqa: PLC0415 - start quickly

    revoke_credential(open_database(config_file), OPERATOR, CredentialType.TOKEN, token_id)
