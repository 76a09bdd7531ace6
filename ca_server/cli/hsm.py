"""`sealkeeper hsm`: what is on a token, and whether its keys sign."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click

from ca_server.hsm.health import check as check_signer
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.port import HsmRefused, KeyRecord, KeyStore
from ca_server.hsm.settings import TokenSettings


@click.group()
def command() -> None:
    """Look at tokens and their keys."""


def _token_options(function: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option(
            "--module",
            type=click.Path(path_type=Path),
            required=True,
            help="The vendor's PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so.",
        ),
        click.option("--token", required=True, help="The token's label."),
        click.option(
            "--pin-file",
            type=click.Path(path_type=Path),
            help="A file with the PIN that only its owner can read; without it the terminal asks.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command()
@_token_options
def inventory(module: Path, token: str, pin_file: Path | None, *, as_json: bool) -> None:
    """List the private keys of a token with the attributes that it reports."""
    with closing(_open(module, token, pin_file)) as store:
        about, records = store.token(), store.inventory()
    if as_json:
        described = {
            "label": about.label,
            "serial": about.serial,
            "manufacturer": about.manufacturer,
            "model": about.model,
            "firmware": about.firmware,
        }
        click.echo(
            json.dumps({"token": described, "keys": [_as_json(record) for record in records]}, indent=2)
        )
        return
    click.echo(f"{_shown(about.label)}: {_shown(about.manufacturer)} {_shown(about.model)}", err=True)
    rows = [
        (_shown(record.label), record.key_id.hex(), record.key_type or "unknown", _protection(record))
        for record in records
    ]
    _table(("LABEL", "ID", "TYPE", "PROTECTION"), rows)


@command.command()
@_token_options
@click.option("--label", help="Only the key with this label.")
def check(module: Path, token: str, pin_file: Path | None, *, as_json: bool, label: str | None) -> None:
    """Make one real signature with each key and verify it; exit with 1 if a key does not sign."""
    with closing(_open(module, token, pin_file)) as store:
        records = [record for record in store.inventory() if label in {None, record.label}]
        if not records:
            raise HsmRefused(f"the token {token} has no {'private key' if label is None else f'key {label}'}")
        results = [(record, _failure(store, record)) for record in records]
    if as_json:
        keys = [_names(record) | {"signs": not failure, "failure": failure} for record, failure in results]
        click.echo(json.dumps({"token": token, "keys": keys}, indent=2))
    else:
        rows = [
            (_shown(record.label), record.key_id.hex(), record.key_type or "unknown", failure or "signs")
            for record, failure in results
        ]
        _table(("LABEL", "ID", "TYPE", "RESULT"), rows)
    if any(failure for _, failure in results):
        sys.exit(1)


def _open(module: Path, token: str, pin_file: Path | None) -> KeyStore:
    pin = PinSource.from_prompt(token) if pin_file is None else PinSource.from_file(pin_file)
    return open_token(TokenSettings(module, token, pin))


def _failure(store: KeyStore, record: KeyRecord) -> str | None:
    """Why a key does not sign; None if it does. That the token is away ends the whole command."""
    try:
        check_signer(store.signer(label=record.label, key_id=record.key_id))
    except HsmRefused as error:
        return error.detail
    return None


def _names(record: KeyRecord) -> dict[str, object]:
    return {"label": record.label, "id": record.key_id.hex(), "type": record.key_type}


def _as_json(record: KeyRecord) -> dict[str, object]:
    return _names(record) | {
        "private": record.private,
        "sensitive": record.sensitive,
        "always_sensitive": record.always_sensitive,
        "extractable": record.extractable,
        "never_extractable": record.never_extractable,
        "local": record.local,
    }


def _protection(record: KeyRecord) -> str:
    """`sealed` for a key that was made in the token and never could leave it; else what is missing."""
    facts = {
        "not private": record.private,
        "not sensitive": record.sensitive,
        "was not always sensitive": record.always_sensitive,
        "extractable": not record.extractable,
        "was extractable": record.never_extractable or record.extractable,
        "not made here": record.local,
    }
    return ", ".join(name for name, holds in facts.items() if not holds) or "sealed"


def _shown(text: str) -> str:
    """Text from a token on a terminal: what is not printable could steer it."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
