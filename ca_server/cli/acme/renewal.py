"""`sealkeeper acme renewal`: has certificates renewed now although they are good, in the database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from ca_server.cli.database_access import open_database
from ca_server.cli.options import config_option
from ca_server.core.clock import from_epoch, to_text

_URL = re.compile(r"https?://[!-~]{1,500}")


@click.group()
def command() -> None:
    """Have clients that ask when to renew (RFC 9773) renew now."""


@command.command()
@click.option("--certificate", help="Id of one certificate.")
@click.option("--authority", help="Id of an authority: all that it issued until now.")
@click.option("--profile", help="Name of a profile: all that was issued by it until now.")
@click.option("--explanation-url", help="A page that says why; clients show it.")
@config_option
def flag(
    config_file: Path,
    certificate: str | None,
    authority: str | None,
    profile: str | None,
    explanation_url: str | None,
) -> None:
    """Flag one certificate, or all that an authority or profile has issued until now."""
    from ca_server.compose import open_policies  # noqa: PLC0415 - start quickly
    from ca_server.config import load_config  # noqa: PLC0415 - start quickly
    from ca_server.services.acme.renewal_flags import NewFlag, create_flag  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly
    from ca_server.store.renewal_flags import FlagScope  # noqa: PLC0415 - start quickly

    given = {"certificate": certificate, "authority": authority, "profile": profile}
    subjects = [(FlagScope(scope), subject) for scope, subject in given.items() if subject is not None]
    if len(subjects) != 1:
        raise click.UsageError("give one of --certificate, --authority and --profile")
    if explanation_url is not None and not _URL.fullmatch(explanation_url):
        raise click.BadParameter("use an https:// or http:// URL", param_hint="--explanation-url")
    policies = open_policies(load_config(config_file))
    new = NewFlag(*subjects[0], explanation_url)
    click.echo(create_flag(open_database(config_file), OPERATOR, policies, new).id)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
def list_flags(config_file: Path, *, as_json: bool) -> None:
    """List flags, newest first, ended ones too."""
    from ca_server.services.acme import renewal_flags  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    found = renewal_flags.list_flags(open_database(config_file), OPERATOR, after=None, limit=10_000)
    rows = [
        {
            "id": each.id,
            "scope": each.scope,
            "subject": each.subject,
            "explanation_url": each.explanation_url,
            "created_at": to_text(from_epoch(each.created_at)),
            "ended_at": None if each.ended_at is None else to_text(from_epoch(each.ended_at)),
        }
        for each in found
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = "in force" if row["ended_at"] is None else "ended"
        click.echo(f"{row['id']}\t{state}\t{row['created_at']}\t{row['scope']}\t{row['subject']}")


@command.command()
@click.argument("flag_id")
@config_option
def unflag(config_file: Path, flag_id: str) -> None:
    """Take the flag FLAG_ID back."""
    from ca_server.services.acme.renewal_flags import end_flag  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    end_flag(open_database(config_file), OPERATOR, flag_id)
