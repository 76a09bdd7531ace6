"""`sealkeeper ceremony`: scripts, rehearsals, the real event and going on with it, and bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ceremony.qr_commands import qr, words
from ceremony.report.command import report
from ceremony.roster_commands import allowed_signers, roster

if TYPE_CHECKING:
    from collections.abc import Callable

    from ceremony.event import Held
    from ceremony.host import Host
    from ceremony.plan import Plan

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
PAUSED = 3


@click.group()
def command() -> None:
    """Run, rehearse, resume and verify key ceremonies."""


@command.command("script")
@click.argument("kind", default="first-hierarchy")
@click.option(
    "--public-url", help="Where CRLs and CA certificates will be fetched, such as http://pki.example.com."
)
@click.option("--roster", type=_FILE, help="Pin this roster by its SHA-256.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=FILE", help="Pin an input by its SHA-256; repeatable."
)
@click.option("--list", "list_kinds", is_flag=True, help="List the kinds instead.")
def print_script(
    kind: str, public_url: str | None, roster: Path | None, inputs: tuple[str, ...], *, list_kinds: bool
) -> None:
    """Print the ready script of a KIND, to be edited or run as it is."""
    from ceremony.ready import kinds, ready_script  # noqa: PLC0415 - help needs none of it

    if list_kinds:
        click.echo("\n".join(kinds()))
        return
    click.echo(ready_script(kind, public_url=public_url, roster=roster, inputs=_inputs(inputs)), nl=False)


@command.command()
@click.argument("script", type=_FILE)
@click.option("--host", "host_file", type=_FILE, help="Check this host file against the script too.")
def check(script: Path, host_file: Path | None) -> None:
    """Check a script without opening any HSM, and show what it would do."""
    from ceremony.display import Display  # noqa: PLC0415 - as above
    from ceremony.event import check_before  # noqa: PLC0415

    plan = _plan(script)
    host = _host(host_file, plan) if host_file else None
    check_before(plan, host)
    Display().show_plan(plan, host.mode if host else None)
    click.echo(plan.sha256)


@command.command()
@click.argument("script", type=_FILE)
@click.option(
    "--host", "host_file", type=_FILE, required=True, help="What the script's names are on this machine."
)
def run(script: Path, host_file: Path) -> None:
    """Run a ceremony with the people in the room, on the devices that the host file names."""
    from ca_server.core.document import MAX_DOCUMENT_BYTES  # noqa: PLC0415 - as above
    from ceremony.event import begin  # noqa: PLC0415
    from ceremony.folder import read_file  # noqa: PLC0415

    plan = _plan(script)
    host = _host(host_file, plan)
    _tell(lambda: begin(plan, host, host_file=read_file(host_file, MAX_DOCUMENT_BYTES)))


@command.command()
@click.argument("script", type=_FILE)
@click.option("--directory", type=_FOLDER, required=True, help="A new folder.")
@click.option(
    "--room", type=_FOLDER, help="The folder of an earlier rehearsal, whose tokens and officers to use."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    help="A file that the script asks for; repeatable.",
)
@click.option("--roster", type=_FILE, help="Rehearse with this roster's people, who sign at the terminal.")
@click.option("--by-hand", is_flag=True, help="Ask at the terminal instead of practice officers.")
def rehearse(
    script: Path,
    directory: Path,
    room: Path | None,
    inputs: tuple[str, ...],
    roster: Path | None,
    *,
    by_hand: bool,
) -> None:
    """Run a ceremony on SoftHSM tokens with practice officers, in a new folder."""
    from ceremony.clock import SystemClock  # noqa: PLC0415 - as above
    from ceremony.event import begin  # noqa: PLC0415
    from ceremony.rehearsal import prepare  # noqa: PLC0415

    plan = _plan(script)
    now = SystemClock().now()
    host = prepare(plan.script, directory, room=room, roster=roster, inputs=_inputs(inputs), now=now)
    _tell(lambda: begin(plan, host, by_hand=by_hand))


@command.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--by-hand", is_flag=True, help="Ask at the terminal instead of practice officers.")
def resume(directory: Path, *, by_hand: bool) -> None:
    """Go on with the ceremony in DIRECTORY where its transcript ends."""
    from ceremony.event import go_on  # noqa: PLC0415 - as above

    _tell(lambda: go_on(directory, by_hand=by_hand))


@command.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why it ends here, for the transcript.")
@click.option("--by-hand", is_flag=True, help="Ask at the terminal instead of practice officers.")
def abort(directory: Path, reason: str, *, by_hand: bool) -> None:
    """End the ceremony in DIRECTORY where it is, with a signed close."""
    from ceremony.event import end  # noqa: PLC0415 - as above

    _tell(lambda: end(directory, reason, by_hand=by_hand))


@command.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def status(directory: Path) -> None:
    """Say where the ceremony in DIRECTORY stands."""
    from ceremony.status import describe  # noqa: PLC0415 - as above

    click.echo(describe(directory))


@command.command()
@click.argument("bundle", type=_FILE)
@click.option("--sha256", help="The digest that the ceremony showed.")
@click.option("--roster-sha256", help="The digest of the roster that was in force, from a source you trust.")
def verify(bundle: Path, sha256: str | None, roster_sha256: str | None) -> None:
    """Check a bundle twice: by this program, and by the auditor's verifier, which shares no code with it."""
    from ca_server.core.archive import MAX_ARCHIVE_BYTES  # noqa: PLC0415 - as above
    from ca_server.core.ceremony.verify import verify_bundle  # noqa: PLC0415
    from ca_server.core.errors import Kind, refuse  # noqa: PLC0415
    from ceremony.display import Display  # noqa: PLC0415
    from ceremony.folder import read_file  # noqa: PLC0415
    from ceremony.independent import run_independent  # noqa: PLC0415

    code, report = run_independent(bundle, sha256, roster_sha256)
    click.echo(report, err=True, nl=False)
    checked = verify_bundle(read_file(bundle, MAX_ARCHIVE_BYTES)).bundle
    if sha256 is not None and sha256.lower() != checked.sha256:
        detail = f"the bundle has SHA-256 {checked.sha256}, which is not the one given"
        raise refuse(Kind.CONFLICT, "BUNDLE-DIGEST", detail)
    if code:
        raise refuse(
            Kind.CONFLICT, "BUNDLE-INDEPENDENT", "the auditor's verifier does not find this bundle good"
        )
    Display().show_bundle(checked)
    click.echo(checked.sha256)


command.add_command(qr)
command.add_command(words)
command.add_command(report)
command.add_command(roster)
command.add_command(allowed_signers)


def _tell(hold: Callable[[], Held]) -> None:
    """Print where the bundle is. Status 1 after an abort, 3 after a pause, as for what waits for people."""
    from ca_server.core.ceremony.transcript import Outcome  # noqa: PLC0415 - as above
    from ceremony.people import Paused  # noqa: PLC0415

    try:
        held = hold()
    except Paused:
        sys.exit(PAUSED)
    click.echo(held.bundle)
    if held.outcome in {Outcome.ABORTED_CLEAN, Outcome.ABORTED_DIRTY}:
        sys.exit(1)


def _plan(script: Path) -> Plan:
    from ca_server.core.document import MAX_DOCUMENT_BYTES  # noqa: PLC0415 - as above
    from ceremony.folder import read_file  # noqa: PLC0415
    from ceremony.plan import make_plan  # noqa: PLC0415

    return make_plan(read_file(script, MAX_DOCUMENT_BYTES))


def _host(path: Path, plan: Plan) -> Host:
    from ca_server.core.document import MAX_DOCUMENT_BYTES  # noqa: PLC0415 - as above
    from ceremony.folder import read_file  # noqa: PLC0415
    from ceremony.host import check_host, parse_host  # noqa: PLC0415

    host = parse_host(read_file(path, MAX_DOCUMENT_BYTES))
    check_host(plan.script, host)
    return host


def _inputs(given: tuple[str, ...]) -> dict[str, Path]:
    """NAME=FILE pairs by name."""
    pairs = [each.partition("=") for each in given]
    for name, _, path in pairs:
        if not name or not Path(path).is_file():
            raise click.BadParameter(
                f"{name}={path}: give NAME=FILE, and a file that is there", param_hint="--input"
            )
    return {name: Path(path) for name, _, path in pairs}
