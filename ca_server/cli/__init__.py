"""The sealkeeper command. Sub-commands are imported when they are called, so that each starts quickly."""

from __future__ import annotations

import sys

import click

from ca_server import __version__
from ca_server.cli.lazy import LazyGroup
from ca_server.core.errors import CaError, Kind

# Name -> where its click command is, and what `sealkeeper --help` says of it without importing it.
# Ceremony and responder are named, not imported: they are rooms of their own that may be installed alone.
COMMANDS = {
    "acme": ("ca_server.cli.acme:command", "Look after the accounts, keys and orders of ACME clients."),
    "audit": ("ca_server.cli.audit:command", "Verify the audit log, get proofs."),
    "ceremony": ("ceremony.cli:command", "Run, rehearse and verify key ceremonies."),
    "certificate": (
        "ca_server.cli.certificate:command",
        "Issue, list, show, renew, revoke and lint certificates.",
    ),
    "config": ("ca_server.cli.config:command", "Check a configuration file."),
    "crl": ("ca_server.cli.crl:command", "Publish and show CRLs."),
    "db": ("ca_server.cli.database:command", "Bring the database to the newest schema."),
    "demo": ("ca_server.cli.demo:command", "Run a whole appliance on this machine, to try things out."),
    "enroll": ("ca_server.cli.enroll:command", "Get this host a certificate by EST, and renew it."),
    "est": ("ca_server.cli.est:command", "Look after the secrets by which devices enrol over EST."),
    "hsm": ("ca_server.cli.hsm:command", "Look at tokens and their keys."),
    "import": ("ca_server.cli.import_bundle:command", "Import what a later ceremony made."),
    "init": ("ca_server.cli.init:command", "Begin with a ceremony's bundle."),
    "ocsp": ("ocsp_responder.cli:command", "Run the OCSP responder."),
    "profile": ("ca_server.cli.profile:command", "Check, compare and simulate certificate profiles."),
    "recover": ("ca_server.cli.recover:command", "Settle what a crash left behind."),
    "request": ("ca_server.cli.request:command", "List, show, approve and reject certificate requests."),
    "serve": ("ca_server.cli.serve:command", "Run the HTTPS and HTTP doors."),
    "tls": ("ca_server.cli.tls:command", "Issue or renew the server's own certificate."),
    "token": ("ca_server.cli.token:command", "Create, list and revoke API tokens."),
    "worker": ("ca_server.cli.worker:command", "Run the worker: CRLs, audit log, checks of what was issued."),
}

# A token refused its PIN, or has no such key: trying again could lock it, so service managers must not.
TOKEN_REFUSED = 6

_EXIT_CODES = {
    Kind.UNAVAILABLE: 5,
    Kind.RATE_LIMITED: 5,
    Kind.NOT_READY: 5,
    Kind.POLICY_REFUSED: 4,
    Kind.BAD_CSR: 4,
    Kind.BAD_PUBLIC_KEY: 4,
    Kind.REJECTED_IDENTIFIER: 4,
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    path="sealkeeper",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="sealkeeper")
def command() -> None:
    """Sealkeeper: an internal certificate authority whose keys live in an HSM."""


def _show(error: CaError) -> None:
    """Every broken rule by its id, each detail once, wherever the error says it."""
    said = [each for each in error.violations if each.detail in error.detail]
    unnamed = ", ".join(each.rule_id for each in said if each.rule_id not in error.detail)
    click.echo(f"sealkeeper: {error.detail}" + (f" [{unnamed}]" if unnamed else ""), err=True)
    for violation in error.violations:
        if violation not in said:
            click.echo(f"  {violation.rule_id}: {violation.detail}", err=True)


def main() -> None:
    """Run the command; a refusal is one clear line and an exit code, never a traceback."""
    try:
        command(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CaError as error:
        _show(error)
        sys.exit(_exit_code(error))
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        click.echo(f"sealkeeper: {said}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _exit_code(error: CaError) -> int:
    from ca_server.hsm.port import HsmRefused  # noqa: PLC0415 - only where something went wrong

    return TOKEN_REFUSED if isinstance(error, HsmRefused) else _EXIT_CODES.get(error.kind, 1)
