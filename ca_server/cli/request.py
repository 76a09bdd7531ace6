"""`sealkeeper request`: what officers do with requests that wait for approval, over REST."""

from __future__ import annotations

import json
import re

import click

from ca_server.cli.api_client import APIClient, client_options
from ca_server.core.approvals import Decision

STATUSES = ("pending", "issued", "refused", "rejected", "intent", "abandoned")

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_comment = click.option(
    "--comment", default="", help="Why; kept with the decision and shown to the requester."
)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


def _request_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _ID.fullmatch(value):
        raise click.BadParameter("use an id as `sealkeeper request list` shows it")
    return value


_request = click.argument("request_id", callback=_request_id)


@click.group()
def command() -> None:
    """List and show certificate requests; approve or reject those that wait for officers."""


@command.command("list")
@click.option(
    "--status",
    type=click.Choice([*STATUSES, "all"]),
    default="pending",
    show_default=True,
    help="What became of them.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@client_options
def list_requests(client: APIClient, *, status: str, limit: int, as_json: bool) -> None:
    """List requests, newest first: id, status, time, profile, who asks and names, one a line."""
    wanted = None if status == "all" else status
    found = client.items("/certificate-requests", {"status": wanted}, limit)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for each in found:
        fields = (each[name] for name in ("id", "status", "created_at", "profile", "principal"))
        click.echo("\t".join((*fields, ",".join(each["names"]))))


@command.command()
@_request
@client_options
def show(client: APIClient, request_id: str) -> None:
    """Show REQUEST_ID as JSON: what is asked for, its CSR, and what was decided so far."""
    click.echo(json.dumps(client.get(f"/certificate-requests/{request_id}").json(), indent=2))


@command.command()
@_request
@_comment
@_yes
@client_options
def approve(client: APIClient, request_id: str, comment: str, *, yes: bool) -> None:
    """Approve REQUEST_ID. Look at it first; an approval cannot be taken back."""
    _decide(client, request_id, Decision.APPROVED, comment, yes=yes)


@command.command()
@_request
@_comment
@_yes
@client_options
def reject(client: APIClient, request_id: str, comment: str, *, yes: bool) -> None:
    """Reject REQUEST_ID for good, whatever others say."""
    _decide(client, request_id, Decision.REJECTED, comment, yes=yes)


def _decide(client: APIClient, request_id: str, decision: Decision, comment: str, *, yes: bool) -> None:
    found = client.get(f"/certificate-requests/{request_id}").json()
    click.echo(
        f"{found['profile']} for {found['principal']} over {found['protocol']}, asked {found['created_at']}\n"
        f"subject: {found['subject'] or '(none)'}\n"
        f"names: {', '.join(found['names']) or '(none)'}\n"
        f"key (SPKI SHA-256): {found['spki_sha256']}",
        err=True,
    )
    if not yes:
        verb = "Approve" if decision is Decision.APPROVED else "Reject"
        click.confirm(f"{verb} request {request_id}?", abort=True, err=True)
    body = {"decision": decision.value, "comment": comment}
    done = client.post(f"/certificate-requests/{request_id}/approvals", body).json()
    click.echo(f"{done['decision']} {request_id} at {done['decided_at']}", err=True)
