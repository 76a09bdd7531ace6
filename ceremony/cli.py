"""`sealkeeper ceremony`: the script, its check, its rehearsal, its run, and the bundle's check."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import click

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.hsm.pkcs11 import open_token
from ceremony.bundle import check_bundle
from ceremony.clock import SystemClock
from ceremony.display import Display
from ceremony.engine import Outcome, rehearse_in_memory, run_ceremony
from ceremony.host import check_host, parse_host
from ceremony.outputs import check_outputs
from ceremony.plan import Plan, make_plan
from ceremony.rehearsal import prepare
from ceremony.script import parse_script

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PUBLIC_URL = re.compile(r'^public_url = ".*"$', re.MULTILINE)


@click.group()
def command() -> None:
    """Run, rehearse and verify key ceremonies."""


@command.command("script")
@click.option(
    "--public-url", help="Where CRLs and CA certificates will be fetched, such as http://pki.example.com."
)
def print_script(public_url: str | None) -> None:
    """Print the ready script of a first hierarchy, to be edited or run as it is."""
    text = (files("ceremony") / "scripts" / "first-hierarchy.toml").read_text()
    if public_url is not None:
        line = f"public_url = {json.dumps(public_url)}"
        text = _PUBLIC_URL.sub(lambda _: line, text, count=1)
        parse_script(text.encode())
    click.echo(text, nl=False)


@command.command()
@click.argument("script", type=_FILE)
@click.option("--host", "host_file", type=_FILE, help="Check this host file against the script too.")
def check(script: Path, host_file: Path | None) -> None:
    """Check a script, and everything that it would make, without opening any HSM."""
    plan = _plan(script)
    host = parse_host(_read(host_file, MAX_DOCUMENT_BYTES)) if host_file else None
    if host is not None:
        check_host(plan.script, host)
        check_outputs(host)
    rehearse_in_memory(plan)
    Display().show_plan(plan, host)
    click.echo(plan.sha256)


@command.command()
@click.argument("script", type=_FILE)
@click.option(
    "--host", "host_file", type=_FILE, required=True, help="What the script's aliases are on this machine."
)
@click.option("--yes", is_flag=True, help="Do not ask before a production ceremony begins.")
def run(script: Path, host_file: Path, *, yes: bool) -> None:
    """Run a ceremony on the tokens that the host file names."""
    plan = _plan(script)
    host = parse_host(_read(host_file, MAX_DOCUMENT_BYTES))
    display = Display()
    display.show_plan(plan, host)
    if host.mode == "production" and not yes:
        answer = click.prompt("Is this the approved script? Type its first eight digits", err=True)
        if answer != plan.sha256[:8]:
            raise refuse(
                Kind.FORBIDDEN, "CEREMONY-CONFIRMATION", "those are not its digits; nothing was begun"
            )
    _show_outcome(run_ceremony(plan, host, open_token, display), display)


@command.command()
@click.argument("script", type=_FILE)
@click.option(
    "--directory", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new folder."
)
def rehearse(script: Path, directory: Path) -> None:
    """Run a ceremony on SoftHSM tokens of its own, in a new folder."""
    plan = _plan(script)
    display = Display()
    host = prepare(plan.script, directory)
    display.show_plan(plan, host)
    _show_outcome(run_ceremony(plan, host, open_token, display), display)


@command.command()
@click.argument("bundle", type=_FILE)
@click.option("--sha256", help="The digest that the ceremony showed.")
def verify(bundle: Path, sha256: str | None) -> None:
    """Check a bundle: archive, digests, keys, chains, CRL, lints, and its own digest if given."""
    checked = check_bundle(_read(bundle, MAX_ARCHIVE_BYTES))
    if sha256 is not None and sha256.lower() != checked.sha256:
        raise refuse(
            Kind.CONFLICT, "BUNDLE-DIGEST", f"the bundle's SHA-256 is {checked.sha256}, not {sha256}"
        )
    Display().show_bundle(checked)
    click.echo(checked.sha256)


def _plan(script: Path) -> Plan:
    return make_plan(_read(script, MAX_DOCUMENT_BYTES), SystemClock().now())


def _read(path: Path, limit: int) -> bytes:
    """At most one byte more than the limit, so that the reader of the document refuses what is larger."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error


def _show_outcome(outcome: Outcome, display: Display) -> None:
    display.show_bundle(check_bundle(outcome.bundle.read_bytes()))
    click.echo(f"the API server's key is in {outcome.api_server_key}", err=True)
    click.echo(outcome.bundle)
