"""`sealkeeper import`: what a later ceremony made, into a server that has a hierarchy already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.compose import open_context
from ca_server.config import Config, load_config
from ca_server.hsm.uri import KeyUri
from ca_server.services.import_bundle import Expected, ImportReport, import_bundle

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("import")
@click.option("--bundle", type=_FILE, required=True, help="The bundle.tar that the ceremony wrote.")
@config_option
@click.option("--sha256", help="The bundle's digest that the ceremony showed.")
@click.option("--rehearsal", is_flag=True, help="Accept a rehearsal's bundle on a server for production.")
@click.option("--responder-out", type=_FOLDER, help="A folder for new certificates of OCSP signers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    bundle: Path,
    config_file: Path,
    sha256: str | None,
    responder_out: Path | None,
    *,
    rehearsal: bool,
    as_json: bool,
) -> None:
    """Verify a later ceremony's bundle and take over what it made: authorities, CRLs, links between roots."""
    config = load_config(config_file)
    report = run_import(config, bundle, sha256=sha256, rehearsal=rehearsal)
    click.echo(json.dumps(as_object(report), indent=2) if as_json else as_text(report))
    for line in (*_write_responders(report, responder_out), *token_warnings(config, report)):
        click.echo(line, err=True)
    if report.manifest.log:
        click.echo("the log goes on with audit.key: the new key was written down, and nothing else", err=True)
    if report.authorities_changed:
        click.echo("next: restart sealkeeper serve and worker, which open keys when they start", err=True)


def run_import(config: Config, bundle: Path, *, sha256: str | None, rehearsal: bool) -> ImportReport:
    """Import a bundle as this configuration wants it; the database has the newest schema.

    Raises:
        CaError: nothing was changed; see `services.import_bundle`.
    """
    context = open_context(config)
    expected = Expected(
        rehearsal=rehearsal or config.mode == "rehearsal",
        sha256=sha256,
        roster_sha256=config.ceremony.roster_sha256,
        domain=config.ceremony.domain,
    )
    try:
        return import_bundle(context, bundle, expected)
    finally:
        context.database.close()


def as_object(report: ImportReport) -> dict[str, object]:
    """What was taken over, for programs."""
    manifest = report.manifest
    return {
        "ceremony": manifest.ceremony,
        "kind": manifest.kind,
        "mode": manifest.mode,
        "outcome": report.outcome,
        "bundle_sha256": report.bundle_sha256,
        "closing_sha256": report.closing_sha256,
        "authorities": [
            {
                "id": each.id,
                "role": each.role,
                "issuer": each.issuer,
                "certificate_sha256": report.certificates[each.id],
                "key_uri": report.key_uris[each.id],
            }
            for each in manifest.authorities
        ],
        "certificates": [
            {**each.model_dump(mode="json"), "certificate_sha256": report.certificates[each.name]}
            for each in manifest.certificates
        ],
        "crls": [{"authority": name, "number": number} for name, number in report.crls.items()],
        "responders": [each.model_dump(mode="json") for each in manifest.responders],
        "keys": dict(report.keys),
        "revoked": list(report.revoked),
        "log": manifest.log.model_dump(mode="json") if manifest.log else None,
    }


def as_text(report: ImportReport) -> str:
    """What was taken over, for people."""
    manifest = report.manifest
    held = f"{manifest.kind}, {manifest.mode}, {report.outcome}"
    lines = [f"imported ceremony {manifest.ceremony} ({held}), bundle {report.bundle_sha256}"]
    for authority in manifest.authorities:
        lines.append(f"authority {authority.id} ({authority.role}) {report.certificates[authority.id]}")
        lines.append(f"  key {report.key_uris[authority.id] or 'offline'}")
    for each in manifest.certificates:
        lines.append(f"{each.role} certificate {each.name} {report.certificates[each.name]}")
        lines.append(f"  of {each.subject or 'another subject'}, by {each.issuer or 'another issuer'}")
    lines += [f"CRL {number} of {name}" for name, number in report.crls.items()]
    lines += [f"authority {name} is revoked: it signs nothing any more" for name in report.revoked]
    named = {*manifest.key_uris(), *report.key_uris.values()}
    lines += [f"key {label} {uri}" for label, uri in report.keys.items() if uri not in named]
    for responder in manifest.responders:
        lines.append(f"responder of {responder.authority}: {responder.certificate} in the bundle")
    lines += [f"  key {each.key_uri or 'made elsewhere'}" for each in report.responders]
    if manifest.log:
        lines += [f"log {manifest.log.vkey}", f"  key {manifest.log.key_uri}"]
    return "\n".join(lines)


def token_warnings(config: Config, report: ImportReport) -> Iterator[str]:
    """Tokens of new authorities that the configuration does not have; serving would fail when it starts."""
    labels = {token.label for token in config.token}
    for name, uri in report.key_uris.items():
        if uri and KeyUri.parse(uri).token not in labels:
            yield f"warning: the token of authority {name} is not configured: {uri}"


def _write_responders(report: ImportReport, folder: Path | None) -> list[str]:
    """Certificates of OCSP signers, each in a file, and what the responder's configuration is to say."""
    lines = []
    for each in report.responders:
        name = f"ocsp-{each.authority}.cer"
        where = folder.absolute() / name if folder else Path(f"/where/you/put/it/{name}")
        if folder:
            temporary = where.with_name(f".{name}.partial")
            temporary.write_bytes(each.certificate_der)
            temporary.replace(where)
            lines.append(f"written: {where}")
        else:
            lines.append(f"the OCSP signer of {each.authority} was not written: give --responder-out")
        key = f' and key = "{each.key_uri}"' if each.key_uri else ", and the key as it is"
        lines.append(f'next: in ocsp.toml, [[issuer]] of {each.authority}: certificate = "{where}"{key}')
    return lines
