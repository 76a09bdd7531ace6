"""`sealkeeper enroll`: a host's first certificate in one line, and its renewal by a timer."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ca_server.cli.enroll import trust
from ca_server.cli.enroll.enrolment import Enrolment, names_of
from ca_server.cli.enroll.est_client import ApprovalPending, ESTClient
from ca_server.cli.enroll.files import PUBLIC, read_capped, replace
from ca_server.cli.enroll.folder import Folder
from ca_server.cli.enroll.hook import parse_hook
from ca_server.cli.enroll.settings import KEY_TYPES, Settings, checked, parse_settings
from ca_server.cli.enroll.status import describe, exit_code
from ca_server.core.errors import CaError, Kind

FOLDERS = Path("/etc/sealkeeper/enrolled")

# \b keeps the lines as they are.
EXAMPLE = """\b
Example:
  sealkeeper enroll --url https://ca.example.com:8443/.well-known/est/tls-peer --root root.pem \\
    --name www.example.com --secret-file secret --hook "systemctl reload nginx"
"""

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_path = click.Path(path_type=Path)


class HostClock:
    """This host's clock, the one place where it is read."""

    def now(self) -> datetime:
        """The current time, aware UTC, whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - a composition root


class WaitingForApproval(click.ClickException):
    """Not a failure: the same command asks again, and exit status 3 tells scripts so."""

    exit_code = 3

    def show(self, file: Any = None) -> None:
        """One line, as other messages."""
        click.echo(f"sealkeeper: {self.message}", file=file, err=file is None)


@click.command(epilog=EXAMPLE)
@click.option("--url", help="The EST server, such as https://ca.example.com:8443/.well-known/est/tls-peer.")
@click.option("--root", "root_file", type=_path, help="Roots to trust, in PEM; added to those of the folder.")
@click.option("--root-sha256", help="Or the root's SHA-256 fingerprint: the root itself is fetched.")
@click.option(
    "--name", "names", multiple=True, help="DNS name, address, URI or email of this host; repeatable."
)
@click.option("--common-name", help="Only where the profile wants one.")
@click.option("--secret-file", type=_path, help="File of the enrolment secret, one line NAME:PASSWORD.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Where all is kept.  [default: {FOLDERS}/NAME]",
)
@click.option("--key-type", type=click.Choice(KEY_TYPES), help=f"Of new keys.  [default: {KEY_TYPES[0]}]")
@click.option("--keep-key/--new-key", default=None, help="What renewal does.  [default: new-key]")
@click.option("--hook", help="Program with arguments to run when files are new; no shell. '' takes it away.")
@click.option("--wait", is_flag=True, help="Wait for approval, and for a server that is away.")
@click.option("--early", is_flag=True, help="Renew though it is not due.")
@click.option("--anew", is_flag=True, help="Enrol again by a new secret: after revocation, for other names.")
@click.option("--status", "show_status", is_flag=True, help="Only say what stands in the folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with --status.")
def command(**options: Any) -> None:
    """Get this host a certificate by EST, and renew it when two thirds of its life are over.

    The first time, say where, whom to trust, for what and by which secret; the key is made here. From then
    on `sealkeeper enroll --dir DIR`, or the same command again, renews when it is due and else
    changes nothing; systemd's sealkeeper-enroll@NAME.timer does so every hour. Services read
    DIR/current/: key.pem, cert.pem, chain.pem, fullchain.pem, combined.pem (key and chain), root.pem.

    Run again after a crash or a failure: the same request is sent again, and nothing is lost.

    Exit status: 0 done or nothing due, 1 failed, 2 wrong options, 3 waiting for approval,
    4 refused by the CA's policy, 5 the server is away.
    """
    clock = HostClock()
    folder = Folder(_folder(options["folder"], options["names"]))
    if options["show_status"]:
        _show_status(folder, clock, as_json=options["as_json"])
        return
    if options["early"] and options["anew"]:
        raise click.UsageError("--early renews by the certificate, --anew enrols by a secret: give one")
    _require_enough(folder, options)
    with folder.locked():
        settings = _settings(folder, options)
        folder.settle()
        _require_same_names(folder, settings, options)
        _take_anchors(folder, settings, options["root_file"], options["root_sha256"])
        replace(folder.settings_file, settings.as_toml().encode(), PUBLIC)
        run = Enrolment(
            folder,
            settings,
            clock,
            lambda text: click.echo(text, err=True),
            anew=options["anew"],
            early=options["early"],
            wait=options["wait"],
        )
        first = folder.current() is None
        try:
            run.run()
        except ApprovalPending as error:
            raise WaitingForApproval(_waiting(folder, error.retry_after)) from error
    if first and folder.path.parent == FOLDERS:
        click.echo(f"to renew: systemctl enable --now sealkeeper-enroll@{folder.path.name}.timer", err=True)


def _folder(given: Path | None, names: tuple[str, ...]) -> Path:
    if given is not None:
        return given.absolute()
    if not names:
        raise click.UsageError("give --dir, or --name for a first certificate")
    if not _FOLDER_NAME.fullmatch(names[0]):
        raise click.UsageError(f"{names[0]} makes no good name of a folder: give --dir")
    return FOLDERS / names[0]


def _require_enough(folder: Folder, options: dict[str, Any]) -> None:
    """Before anything is made: a first run needs to be told everything."""
    if not folder.settings_file.exists():
        missing = [f"--{name}" for name in ("url", "name") if not options[name if name == "url" else "names"]]
        if missing:
            raise click.UsageError(f"nothing is enrolled in {folder.path} yet: give {' and '.join(missing)}")
    trusted = options["root_file"] or options["root_sha256"] or folder.anchors_file.exists()
    if not trusted:
        raise click.UsageError("say whom to trust: --root FILE, or --root-sha256 with the root's fingerprint")


def _settings(folder: Folder, options: dict[str, Any]) -> Settings:
    """What the folder remembers, changed by what was given now."""
    told: dict[str, Any] = {
        name: options[name]
        for name in ("url", "common_name", "key_type", "keep_key")
        if options[name] is not None
    }
    if options["names"]:
        told["names"] = tuple(dict.fromkeys(options["names"]))
    if options["secret_file"] is not None:
        told["secret_file"] = str(options["secret_file"].absolute())
    if options["hook"] is not None:
        told["hook"] = options["hook"] or None
        if options["hook"]:
            parse_hook(options["hook"])
    if not folder.settings_file.exists():
        return checked(Settings(**told))
    remembered = parse_settings(read_capped(folder.settings_file))
    return checked(Settings(**{**remembered.model_dump(), **told}))


def _require_same_names(folder: Folder, settings: Settings, options: dict[str, Any]) -> None:
    """A folder is one host's: other names take a new secret, and a person who means it."""
    current = folder.current()
    if current is None or options["anew"] or not options["names"]:
        return
    held = names_of(current.certificate())
    if set(held) != set(settings.general_names()):
        shown = ", ".join(str(each.value) for each in held)
        raise CaError(
            Kind.CONFLICT,
            f"{folder.path} holds a certificate for {shown}: give another --dir,"
            " or --anew with a new secret to have one for other names in its place",
        )


def _take_anchors(folder: Folder, settings: Settings, root_file: Path | None, sha256: str | None) -> None:
    """Keep the roots that a person vouches for, beside those that were kept before."""
    file = folder.anchors_file
    known = trust.parse_anchors(read_capped(file), str(file)) if file.exists() else ()
    given: trust.Certificates = ()
    if root_file is not None:
        given = trust.parse_anchors(read_capped(root_file), str(root_file))
    if sha256 is not None:
        wanted = trust.parse_fingerprint(sha256)
        if wanted not in {trust.fingerprint(each) for each in (*known, *given)}:
            given = (*given, trust.root_with(wanted, ESTClient(settings.url, None).authority_certificates()))
    if new := [each for each in given if each not in known]:
        replace(file, trust.pem_of([*new, *known]).encode(), PUBLIC)


def _waiting(folder: Folder, retry_after: int | None) -> str:
    when = f" in {retry_after} seconds" if retry_after else ""
    return (
        f"the CA's people have to approve the request first. Ask again{when}:"
        f" sealkeeper enroll --dir {folder.path} (with --wait to wait here, or let the timer do it)"
    )


def _show_status(folder: Folder, clock: HostClock, *, as_json: bool) -> None:
    remembered = folder.settings_file
    settings = parse_settings(read_capped(remembered)) if remembered.exists() else None
    found = describe(folder, settings, clock.now())
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            click.echo(f"{name}: {'-' if shown is None else shown}")
    sys.exit(exit_code(found))
