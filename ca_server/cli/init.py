"""`sealkeeper init`: from an empty database and a ceremony's bundle to a server that can start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.compose import open_context
from ca_server.config import Config, load_config
from ca_server.core.bundle import Manifest
from ca_server.hsm.uri import KeyUri
from ca_server.services.import_bundle import ImportReport, import_bundle
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
    context = open_context(config)
    wanted = rehearsal or config.mode == "rehearsal"
    report = import_bundle(context, bundle, rehearsal=wanted, sha256=sha256)
    context.database.close()
    click.echo(json.dumps(_as_object(report), indent=2) if as_json else _as_text(report))
    for warning in _mismatches(config, report.manifest):
        click.echo(f"warning: {warning}", err=True)
    click.echo(
        f"next: sealkeeper token create --role administrator --name NAME --profile '*' --allow '*' "
        f"--config {config_file}, "
        f"then sealkeeper worker and sealkeeper serve with the same --config",
        err=True,
    )


def _as_object(report: ImportReport) -> dict[str, object]:
    manifest = report.manifest
    return {
        "ceremony": manifest.ceremony,
        "mode": manifest.mode,
        "bundle_sha256": report.bundle_sha256,
        "authorities": [
            {
                "id": each.id,
                "role": each.role,
                "issuer": each.issuer,
                "certificate_sha256": report.certificates[each.id],
                "key_uri": each.key_uri,
            }
            for each in manifest.authorities
        ],
        "responders": [each.model_dump(mode="json") for each in manifest.responders],
        "log": manifest.log.model_dump(mode="json"),
    }


def _as_text(report: ImportReport) -> str:
    manifest = report.manifest
    lines = [f"imported ceremony {manifest.ceremony} ({manifest.mode}), bundle {report.bundle_sha256}"]
    for each in manifest.authorities:
        lines.append(f"authority {each.id} ({each.role}) {report.certificates[each.id]}")
        lines += [f"  key {each.key_uri}"] if each.key_uri else ["  key offline"]
    for responder in manifest.responders:
        lines.append(f"responder of {responder.authority}: {responder.certificate} in the bundle")
        lines.append(f"  key {responder.key_uri}")
    lines += [f"log {manifest.log.vkey}", f"  key {manifest.log.key_uri}"]
    return "\n".join(lines)


def _mismatches(config: Config, manifest: Manifest) -> Iterator[str]:
    """Where the configuration does not fit what was imported; the server would only find out later."""
    labels = {token.label for token in config.token}
    for authority in manifest.authorities:
        if authority.key_uri and KeyUri.parse(authority.key_uri).token not in labels:
            yield f"the token of authority {authority.id} is not configured: {authority.key_uri}"
    if config.audit.vkey != manifest.log.vkey:
        yield f"audit.vkey is not the ceremony's: {manifest.log.vkey}"
    if KeyUri.parse(config.audit.key) != KeyUri.parse(manifest.log.key_uri):
        yield f"audit.key is not the ceremony's log key: {manifest.log.key_uri}"
