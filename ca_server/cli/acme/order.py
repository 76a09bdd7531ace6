"""`sealkeeper acme order`: what clients ordered, and why an order failed, straight from the database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ca_server.cli.database_access import open_database
from ca_server.cli.options import config_option
from ca_server.core.clock import from_epoch, to_text

if TYPE_CHECKING:
    from ca_server.core.acme.resources import Order

MAX_LISTED = 1000


@click.group()
def command() -> None:
    """List the orders of ACME clients, and show why one failed."""


@command.command("list")
@click.option("--account", help="Orders of this account alone.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MAX_LISTED), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
def list_orders(config_file: Path, account: str | None, limit: int, *, as_json: bool) -> None:
    """List orders, newest first."""
    from ca_server.services.acme.timeline import search_orders  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    context = open_database(config_file)
    found = search_orders(context, OPERATOR, account_id=account, before=None, limit=limit)
    if as_json:
        click.echo(json.dumps([_fields(each) for each in found], indent=2))
        return
    for each in found:
        names = ",".join(name.identifier.value for name in each.names)
        click.echo(
            f"{each.id}\t{each.status}\t{to_text(from_epoch(each.created_at))}\t{each.profile}\t{names}"
        )


@command.command()
@click.argument("order_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_option
def show(config_file: Path, order_id: str, *, as_json: bool) -> None:
    """Show what became of the order ORDER_ID, line by line; the last line says where it stands."""
    from ca_server.services.acme.timeline import read_timeline  # noqa: PLC0415 - start quickly
    from ca_server.services.credentials import OPERATOR  # noqa: PLC0415 - start quickly

    found = read_timeline(open_database(config_file), OPERATOR, order_id)
    if as_json:
        entries = [{"time": to_text(from_epoch(each.at)), "text": each.text} for each in found.entries]
        click.echo(json.dumps({**_fields(found.order), "timeline": entries}, indent=2))
        return
    for each in found.entries:
        click.echo(f"{to_text(from_epoch(each.at))}  {each.text}")


def _fields(order: Order) -> dict[str, object]:
    return {
        "id": order.id,
        "account": order.account_id,
        "profile": order.profile,
        "status": order.status.value,
        "names": [str(name.identifier) for name in order.names],
        "created_at": to_text(from_epoch(order.created_at)),
        "expires_at": to_text(from_epoch(order.expires_at)),
        "certificate": order.certificate_id,
        "replaces": order.replaces,
    }
