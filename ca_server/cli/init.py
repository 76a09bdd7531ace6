"""`sealkeeper init`: from an empty database and a ceremony's bundle to a server that can start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from ca_server.cli.import_bundle import as_object, as_text, run_import, token_warnings
from ca_server.cli.options import config_option
from ca_server.config import Config, load_config
from ca_server.core.bundle import Manifest
from ca_server.hsm.uri import KeyUri
from ca_server.store.engine import Database
from ca_server.store.migrate import upgrade

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--bundle", type=_FILE, required=True, help="The bundle.tar that the ceremony wrote.")
@config_option
@click.option("--sha256", help="The bundle's digest that the ceremony showed.")
@click.option("--rehearsal", is_flag=True, help="Accept a rehearsal's bundle on a server for production.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(bundle: Path, config_file: Path, sha256: str | None, *, rehearsal: bool, as_json: bool) -> None:
    """Bring the database to the newest schema and import a ceremony's bundle."""
    config = load_config(config_file)
    database = Database(config.database.url)
    upgrade(database)
    database.close()
    report = run_import(config, bundle, sha256=sha256, rehearsal=rehearsal)
    click.echo(json.dumps(as_object(report), indent=2) if as_json else as_text(report))
    for warning in (*token_warnings(config, report), *_mismatches(config, report.manifest)):
        click.echo(warning, err=True)
    click.echo(
        f"next: sealkeeper token create --role administrator --name NAME --profile '*' --allow '*' "
        f"--config {config_file}, "
        f"then sealkeeper worker and sealkeeper serve with the same --config",
        err=True,
    )


def _mismatches(config: Config, manifest: Manifest) -> Iterator[str]:
    """Where the configured log does not fit what was imported; the server would only find out later."""
    if manifest.log is None:
        yield "warning: the bundle has no log: audit.vkey and audit.key name one that another ceremony made"
        return
    if config.audit.vkey != manifest.log.vkey:
        yield f"warning: audit.vkey is not the ceremony's: {manifest.log.vkey}"
    if KeyUri.parse(config.audit.key) != KeyUri.parse(manifest.log.key_uri):
        yield f"warning: audit.key is not the ceremony's log key: {manifest.log.key_uri}"
