"""`sealkeeper crl`: have CRLs published now, and see what a CRL says."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from ca_server.cli.options import config_option
from ca_server.core.clock import to_text
from ca_server.core.crl import MAX_CRL_BYTES, parse_crl
from ca_server.core.errors import CaError, Kind

TIMEOUT = 30
SHOWN = 20


@click.group()
def command() -> None:
    """Publish and show CRLs."""


@command.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the authorities as a JSON array.")
def publish(config_file: Path, *, as_json: bool) -> None:
    """Have a worker publish a new CRL of every authority now."""
    from ca_server.compose import open_context  # noqa: PLC0415 - `show` needs no server
    from ca_server.config import load_config  # noqa: PLC0415
    from ca_server.services.publish_crl import order_all_crls  # noqa: PLC0415

    context = open_context(load_config(config_file))
    try:
        ids = order_all_crls(context)
    finally:
        context.database.close()
    click.echo(json.dumps(ids) if as_json else "\n".join(ids))
    click.echo("a worker publishes them within seconds", err=True)


@command.command()
@click.argument("source", metavar="[FILE|URL]", default="-")
@click.option("--all", "show_all", is_flag=True, help=f"Show every entry, not only the first {SHOWN}.")
@click.option("--json", "as_json", is_flag=True, help="Print the CRL as a JSON object, with every entry.")
def show(source: str, *, show_all: bool, as_json: bool) -> None:
    """Show a CRL in DER or PEM, from a file, an http URL or standard input (-)."""
    crl = parse_crl(_read(source))
    entries = [_entry(each) for each in crl]
    if as_json:
        click.echo(json.dumps({**_summary(crl), "entries": entries}, indent=2))
        return
    for name, value in _summary(crl).items():
        click.echo(f"{name.replace('_', ' '):<18} {value}")
    _print_table(entries if show_all else entries[:SHOWN])
    if len(entries) > SHOWN and not show_all:
        click.echo(f"{len(entries) - SHOWN} more: use --all", err=True)


def _summary(crl: x509.CertificateRevocationList) -> dict[str, Any]:
    return {
        "issuer": crl.issuer.rfc4514_string(),
        "crl_number": _crl_number(crl),
        "this_update": to_text(crl.last_update_utc),
        "next_update": to_text(crl.next_update_utc) if crl.next_update_utc else None,
        "revoked": len(crl),
    }


def _crl_number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _entry(entry: x509.RevokedCertificate) -> dict[str, str | None]:
    reason, invalidity_date = "unspecified", None
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = extension.value.reason.value
        elif isinstance(extension.value, x509.InvalidityDate):
            invalidity_date = to_text(extension.value.invalidity_date_utc)
    return {
        "serial_number": f"{entry.serial_number:040x}",
        "revoked_at": to_text(entry.revocation_date_utc),
        "reason": reason,
        "invalidity_date": invalidity_date,
    }


def _print_table(entries: list[dict[str, str | None]]) -> None:
    """Columns of fixed width, never cut: a serial number with its end missing names nothing."""
    if not entries:
        return
    widths = {"serial_number": 40, "revoked_at": 20, "reason": 20, "invalidity_date": 20}
    header: dict[str, str | None] = {name: name.replace("_", " ") for name in widths}
    click.echo()
    for row in [header, *entries]:
        click.echo("  ".join((row[name] or "").ljust(width) for name, width in widths.items()).rstrip())


def _read(source: str) -> bytes:
    """The bytes that a file, a URL or standard input holds, and no more than a CRL may have."""
    try:
        if source == "-":
            return sys.stdin.buffer.read(MAX_CRL_BYTES + 1)
        if source.startswith(("http://", "https://")):
            # The scheme was just checked, so no file is opened by a URL.
            with urllib.request.urlopen(source, timeout=TIMEOUT) as answer:  # noqa: S310
                data: bytes = answer.read(MAX_CRL_BYTES + 1)
                return data
        with Path(source).open("rb") as file:
            return file.read(MAX_CRL_BYTES + 1)
    except (urllib.error.URLError, ValueError) as error:
        raise CaError(Kind.UNAVAILABLE, f"cannot fetch {source}: {error}") from error
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {source}: {error.strerror}") from error
