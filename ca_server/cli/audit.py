"""`sealkeeper audit`: verify a log from outside, and get the proof of one certificate.

Needs no configuration and no database: only the log's URL and the key that its ceremony report names.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.cli.log_http import HttpLog
from ca_server.core.audit.note import MAX_NOTE_BYTES, VerifierKey, parse_verifier_key
from ca_server.core.audit.proofs import MAX_PROOF_BYTES, parse_proof, verify_issuance
from ca_server.core.audit.rules import Bounds, Severity
from ca_server.core.errors import CaError, Kind
from ca_server.services.verify_log import Audit, Verdict, verify_log

MAX_CERTIFICATE_BYTES = 64 * 1024
_EXIT_CODES = {Severity.NOTE: 0, Severity.BAD: 1, Severity.UNKNOWN: 2}
_WORDS = {Severity.NOTE: "good", Severity.BAD: "bad", Severity.UNKNOWN: "cannot tell"}

_url = click.option("--url", required=True, help="Where the log is, such as https://ca.example:8443/audit.")
_vkey = click.option("--vkey", required=True, help="The log's verifier key, or a file that holds it.")
_ca_file = click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Roots (PEM) to check the server's TLS certificate with; the system's own otherwise.",
)


@click.group()
def command() -> None:
    """Verify the audit log, get proofs."""


@command.command()
@_url
@_vkey
@_ca_file
@click.option(
    "--since",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The checkpoint that you kept from last time; the log must still hold it.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the checkpoint here if the log is good, for --since next time.",
)
@click.option(
    "--max-skew",
    type=click.IntRange(min=0),
    default=300,
    show_default=True,
    help="Seconds time may run back.",
)
@click.option(
    "--max-open",
    type=click.IntRange(min=0),
    default=3600,
    show_default=True,
    help="Seconds after which an intent without outcome is a finding.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def verify(  # noqa: PLR0913 - one parameter an option
    *,
    url: str,
    vkey: str,
    ca_file: Path | None,
    since: Path | None,
    save: Path | None,
    max_skew: int,
    max_open: int,
    as_json: bool,
) -> None:
    """Check a whole log: signature, every leaf, tile and root, and the rules that its events must keep.

    Ends with 0 where all is good, 1 where something is wrong, 2 where something is missing to tell.
    """
    audit = Audit(
        key=_read_vkey(vkey),
        now=_now(),
        since=_read(since, MAX_NOTE_BYTES) if since else None,
        bounds=Bounds(skew=timedelta(seconds=max_skew), open_intent=timedelta(seconds=max_open)),
    )
    with _log(url, ca_file) as log:
        verdict = verify_log(log, audit, _report_progress)
    if save and verdict.worst is Severity.NOTE and verdict.note is not None:
        save.write_bytes(verdict.note)
    _print_findings(verdict)
    click.echo(_as_json(verdict) if as_json else _as_line(verdict))
    sys.exit(_EXIT_CODES[verdict.worst])


@command.command()
@click.argument("certificate")
@_url
@_vkey
@_ca_file
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the proof.")
def proof(*, certificate: str, url: str, vkey: str, ca_file: Path | None, out: Path | None) -> None:
    """Fetch and verify the proof that a certificate's issuance is in the log.

    CERTIFICATE is a file (PEM or DER) or a certificate's id. The proof is a C2SP tlog-proof with the event
    as its extra data; it is written to --out, or printed.
    """
    certificate_id = _certificate_id(certificate)
    key = _read_vkey(vkey)
    with _log(url, ca_file) as log:
        data = log.fetch(f"proof/{certificate_id}", MAX_PROOF_BYTES)
    event_proof = parse_proof(data)
    checkpoint = verify_issuance(event_proof, certificate_id, [key])
    click.echo(
        f"event {event_proof.index} of {checkpoint.origin}, which had {checkpoint.size} events, "
        f"is the issuance of {certificate_id}",
        err=True,
    )
    if out is None:
        click.echo(data, nl=False)
    else:
        out.write_bytes(data)


@contextmanager
def _log(url: str, ca_file: Path | None) -> Iterator[HttpLog]:
    log = HttpLog(url, ca_file)
    try:
        yield log
    finally:
        log.close()


def _report_progress(done: int, size: int) -> None:
    if done == size or done % 10_240 == 0:
        click.echo(f"{done} of {size} events", err=True)


def _print_findings(verdict: Verdict) -> None:
    for finding in verdict.findings:
        place = "" if finding.index is None else f" at {finding.index}"
        click.echo(f"{finding.severity}: {finding.rule_id}{place}: {finding.detail}", err=True)
    if verdict.dropped:
        click.echo(f"and {verdict.dropped} more", err=True)


def _as_line(verdict: Verdict) -> str:
    checkpoint = verdict.checkpoint
    what = f" {checkpoint.origin} {checkpoint.size} {checkpoint.root.hex()}" if checkpoint else ""
    return f"{_WORDS[verdict.worst]}{what}"


def _as_json(verdict: Verdict) -> str:
    checkpoint = verdict.checkpoint
    value = {
        "verdict": _WORDS[verdict.worst],
        "origin": checkpoint.origin if checkpoint else None,
        "size": checkpoint.size if checkpoint else None,
        "root": checkpoint.root.hex() if checkpoint else None,
        "findings": [
            {"severity": each.severity, "rule_id": each.rule_id, "detail": each.detail, "index": each.index}
            for each in verdict.findings
        ],
        "more_findings": verdict.dropped,
    }
    return json.dumps(value, indent=2)


def _read_vkey(value: str) -> VerifierKey:
    path = Path(value)
    if "\n" not in value and path.is_file():
        value = _read(path, 4096).decode(errors="replace")
    try:
        return parse_verifier_key(value)
    except CaError as error:
        raise click.BadParameter(error.detail, param_hint="--vkey") from error


def _certificate_id(value: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", value):
        return value
    data = _read(Path(value), MAX_CERTIFICATE_BYTES)
    try:
        is_pem = data.lstrip().startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(data) if is_pem else x509.load_der_x509_certificate(data)
    except ValueError:
        raise CaError(Kind.MALFORMED, f"{value} holds no certificate") from None
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"{path} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise CaError(Kind.MALFORMED, f"{path} has over {max_bytes} bytes")
    return data


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - an auditor's command is its own root
