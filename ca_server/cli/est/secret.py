"""`sealkeeper est secret`: the secrets by which devices enrol, straight in the database."""

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
    from ca_server.core.est.resources import EnrolmentSecret

MAX_LISTED = 10_000


@click.group()
def command() -> None:
    """Create, list and revoke enrolment secrets."""


@command.command()
@click.option("--owner", required=True, help="Whose devices it is for.")
@click.option("--profile", required=True, help="The one profile that they enrol for.")
@click.option(
    "--allow",
    "names",
    multiple=True,
    required=True,
    help="Names they may have, such as dns:*.example.com; repeatable.",
)
@valid_option
@click.option("--uses", default=1, show_default=True, help="How many certificates it gives.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with the password in `secret`.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="New file for what is printed.")
@config_option
def create(  # noqa: PLR0913 - one argument an option
    config_file: Path,
    owner: str,
    profile: str,
    names: tuple[str, ...],
    valid: timedelta,
    uses: int,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Make a secret by which devices enrol until it ends or is used up.

    It is written once, as USERNAME:PASSWORD, to standard output or to the new file --out: what curl takes
    by -u, strongSwan's pki by --userpass and `sealkeeper enroll` by --secret-file.
    """
    from ca_server.compose import open_context, open_policies  # noqa: PLC0415 - start quickly
    from ca_server.config import load_config  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly
    from ca_server.services.est import secrets  # noqa: PLC0415 - start quickly

    config = load_config(config_file)
    new = secrets.NewEnrolmentSecret(owner, profile, names, valid, uses)
    with secret_file(out) as file:
        context, policies = open_context(config), open_policies(config)
        secret, text = secrets.create_enrolment_secret(context, policies, OPERATOR, new)
        # First its id: a secret that cannot be written is to be revoked.
        ends = to_text(from_epoch(secret.not_after))
        click.echo(f"{secret.id} enrols for {profile}, {secret.max_uses} at most, until {ends}", err=True)
        if as_json:
            click.echo(json.dumps({**_fields(secret), "secret": text}, indent=2), file=file)
        else:
            click.echo(f"{secret.id}:{text}", file=file)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
def list_secrets(config_file: Path, *, as_json: bool) -> None:
    """List secrets without their passwords, newest first."""
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly
    from ca_server.services.est import secrets  # noqa: PLC0415 - start quickly

    context = open_database(config_file)
    found = secrets.list_enrolment_secrets(context, OPERATOR, before=None, limit=MAX_LISTED)
    if as_json:
        click.echo(json.dumps([_fields(each) for each in found], indent=2))
        return
    now = to_epoch(context.clock.now())
    for each in found:
        state = "in force" if each.is_live(now) else "ended"
        ends = to_text(from_epoch(each.not_after))
        click.echo(f"{each.id}\t{state}\t{each.uses}/{each.max_uses}\t{ends}\t{each.profile}\t{each.owner}")


@command.command()
@click.argument("secret_id")
@config_option
def revoke(config_file: Path, secret_id: str) -> None:
    """End the secret SECRET_ID for ever; what was issued with it stays."""
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly
    from ca_server.services.est import secrets  # noqa: PLC0415 - start quickly

    secrets.revoke_enrolment_secret(open_database(config_file), OPERATOR, secret_id)


def _fields(secret: EnrolmentSecret) -> dict[str, object]:
    """As REST shows it."""
    return {
        "id": secret.id,
        "owner": secret.owner,
        "profile": secret.profile,
        "names": list(secret.names),
        "max_uses": secret.max_uses,
        "uses": secret.uses,
        "created_at": to_text(from_epoch(secret.created_at)),
        "not_after": to_text(from_epoch(secret.not_after)),
        "revoked_at": None if secret.revoked_at is None else to_text(from_epoch(secret.revoked_at)),
    }
