"""`sealkeeper token`: API tokens straight in the database, for the first one and for emergencies."""

from __future__ import annotations

import json
import os
import re
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from ca_server.cli.options import config_option
from ca_server.core.authorization import Role
from ca_server.core.clock import to_text
from ca_server.core.errors import CaError, Kind

if TYPE_CHECKING:
    from ca_server.services.context import Context

_DURATION = re.compile(r"([1-9][0-9]{0,4})(d|h)")


@click.group()
def command() -> None:
    """Create, list and revoke API tokens."""


@command.command()
@click.option(
    "--role", type=click.Choice([each.value for each in Role]), required=True, help="What it may do."
)
@click.option("--name", required=True, help="Whose token this is.")
@click.option("--profile", "profiles", multiple=True, help="Profile it may ask for, * for any part.")
@click.option("--allow", "names", multiple=True, help="Names it may ask for, such as dns:*.example.com.")
@click.option("--valid", default="90d", show_default=True, help="Days or hours, such as 90d or 12h.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File for the secret.")
@config_option
def create(  # noqa: PLR0913 - one argument an option
    config_file: Path,
    role: str,
    name: str,
    profiles: tuple[str, ...],
    names: tuple[str, ...],
    valid: str,
    out: Path | None,
) -> None:
    """Make an API token; its secret is written once, to standard output or to the new file --out."""
    from ca_server.services.credentials import OPERATOR, Grant, create_token  # noqa: PLC0415 - start quickly

    grant = Grant(name, Role(role), profiles, names, _duration(valid))
    with _secret_file(out) as file:
        try:
            token, secret = create_token(_open(config_file), OPERATOR, grant)
        except BaseException:
            if out is not None:
                out.unlink()
            raise
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

    context = _open(config_file)
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

    revoke_credential(_open(config_file), OPERATOR, CredentialType.TOKEN, token_id)


def _secret_file(out: Path | None) -> AbstractContextManager[IO[str] | None]:
    """Where the secret goes, open before there is one: for the owner alone, and never an old file.

    None is standard output.
    """
    if out is None:
        return nullcontext()
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise CaError(Kind.CONFLICT, f"{out} is there already") from error
    return os.fdopen(descriptor, "w")


def _open(config_file: Path) -> Context:
    from ca_server.compose import open_context  # noqa: PLC0415 - start quickly
    from ca_server.config import load_config  # noqa: PLC0415 - start quickly

    return open_context(load_config(config_file))


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter("use days or hours, such as 90d or 12h", param_hint="--valid")
    amount = int(match[1])
    return timedelta(days=amount) if match[2] == "d" else timedelta(hours=amount)
