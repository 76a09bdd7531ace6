"""`sealkeeper certificate`: what a machine or its owner does with certificates, over REST."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.cli.api_client import APIClient, client_options
from ca_server.cli.private_keys import (
    CERTIFICATE,
    CURVES,
    SIZES,
    ClientKey,
    NewFiles,
    make_csr,
    make_key,
    make_key_like,
    make_subject,
    parse_name,
    require_free,
)
from ca_server.core.errors import CaError, Kind

MAX_FILE_BYTES = 1024 * 1024
# Seconds between looks at a request that waits, where the server says nothing.
WAIT = 60
REASONS = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
)
MEDIA_TYPES = {
    "json": "application/json",
    "pem": "application/pem-certificate-chain",
    "der": "application/pkix-cert",
    "pkcs7": "application/pkcs7-mime",
}

_ID = re.compile(r"[0-9a-f]{64}")


@click.group()
def command() -> None:
    """Issue, list, show, renew, revoke and lint certificates."""


@command.command()
@click.option("--profile", required=True, help="What kind of certificate; see `GET /api/v1/profiles`.")
@click.option(
    "--csr",
    "csr_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A PKCS#10 in PEM; without it a new key is made.",
)
@click.option("--san", "sans", multiple=True, help="DNS name, address, URI or email; repeatable.")
@click.option("--common-name", help="Only where the profile wants one.")
@click.option(
    "--kty",
    type=click.Choice(["EC", "RSA", "OKP"]),
    default="EC",
    show_default=True,
    help="Type of the new key.",
)
@click.option(
    "--crv", type=click.Choice(list(CURVES)), default="P-256", show_default=True, help="Its curve, for EC."
)
@click.option(
    "--size",
    type=click.Choice([str(size) for size in SIZES]),
    default="3072",
    show_default=True,
    help="Its bits, for RSA.",
)
@click.option("--not-after", help="RFC 3339 time; the profile's default without it.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the certificate and the new key.",
)
@click.option(
    "--idempotency-key",
    help="Go on with what was asked for under this key, with the same --csr; a new one without it.",
)
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@client_options
def issue(client: APIClient, **options: Any) -> None:
    """Get a certificate, for a CSR or for a new key, and write it to the folder --out.

    Where officers have to approve it first, this waits until they have.
    """
    csr_file: Path | None = options["csr_file"]
    if (csr_file is None) == (not options["sans"] and options["common_name"] is None):
        raise click.UsageError("give --csr, or --san (and --common-name) for a new key")
    require_free(options["out"], with_key=csr_file is None, force=options["force"])
    key: ClientKey | None = None
    if csr_file is not None:
        csr = _read(csr_file).decode("ascii", "replace")
    else:
        key = make_key(options["kty"], options["crv"], int(options["size"]))
        names = [parse_name(text) for text in options["sans"]]
        csr = make_csr(key, names, make_subject(options["common_name"]))
    body = {"profile": options["profile"], "csr": csr, "not_after": options["not_after"]}
    _enrol(client, body, options["out"], key, options["idempotency_key"])


@command.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@client_options
def renew(client: APIClient, folder: Path) -> None:
    """Replace the certificate in FOLDER by one with the same subject, names, profile and type of key."""
    present = x509.load_pem_x509_certificate(_read(folder / CERTIFICATE))
    profile = client.get(f"/certificates/{_id_of(present)}").json()["profile"]
    try:
        names = list(present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    key = make_key_like(present.public_key())
    csr = make_csr(key, names, present.subject)
    _enrol(client, {"profile": profile, "csr": csr}, folder, key)


@command.command("list")
@click.option("--profile", help="A whole name.")
@click.option("--authority", help="The id of its issuer.")
@click.option("--serial-number", help="40 hex digits.")
@click.option("--status", type=click.Choice(["valid", "expired", "held", "revoked"]), help="What it is now.")
@click.option("--subject", help="A part of the subject.")
@click.option("--name", help="A whole name, such as dns:www.example.com.")
@click.option("--expires-before", help="RFC 3339 time.")
@click.option("--expires-after", help="RFC 3339 time.")
@click.option(
    "--sort",
    type=click.Choice(["number", "-number", "not_after", "-not_after"]),
    help="Order; - is downwards.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@client_options
def list_certificates(client: APIClient, *, limit: int, as_json: bool, **filters: Any) -> None:
    """List certificates: id, status, end and names, one a line."""
    found = client.items("/certificates", filters, limit)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for each in found:
        names = ",".join(each["names"]) or each["subject"]
        click.echo(f"{each['id']}\t{each['status']}\t{each['not_after']}\t{names}")


@command.command()
@click.argument("certificate")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(MEDIA_TYPES)),
    default="json",
    show_default=True,
    help="Of what is printed.",
)
@client_options
def show(client: APIClient, certificate: str, form: str) -> None:
    """Show CERTIFICATE, an id or a file, as JSON or in an encoding."""
    reply = client.get(f"/certificates/{_certificate_id(certificate)}", accept=MEDIA_TYPES[form])
    if form == "json":
        click.echo(json.dumps(reply.json(), indent=2))
    else:
        click.echo(reply.body, nl=False)


@command.command()
@click.argument("certificate")
@click.option("--reason", type=click.Choice(REASONS), required=True, help="Of RFC 5280 §5.3.1.")
@click.option("--invalidity-date", help="RFC 3339 time from which the key was unsafe.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@client_options
def revoke(
    client: APIClient, certificate: str, reason: str, invalidity_date: str | None, *, yes: bool
) -> None:
    """Revoke CERTIFICATE, an id or a file. Only certificateHold can be taken back."""
    certificate_id = _certificate_id(certificate)
    if not yes:
        click.confirm(f"Revoke certificate {certificate_id} for {reason}?", abort=True, err=True)
    body = {"reason": reason, "invalidity_date": invalidity_date}
    done = client.post(f"/certificates/{certificate_id}/revocation", body).json()
    click.echo(f"revoked {done['serial_number']} at {done['revoked_at']}", err=True)


@command.command()
@click.argument("certificate")
@client_options
def release(client: APIClient, certificate: str) -> None:
    """Take CERTIFICATE, an id or a file, off hold."""
    client.delete(f"/certificates/{_certificate_id(certificate)}/revocation")


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def lint(file: Path, *, as_json: bool) -> None:
    """Check the certificate in FILE against RFC 5280 here, without a server; 1 when a finding blocks."""
    from ca_server.core.lints import blocking  # noqa: PLC0415 - the linter takes a second to load
    from ca_server.core.lints.pkix import lint_certificate  # noqa: PLC0415 - as above

    findings = lint_certificate(_load(file).public_bytes(Encoding.DER))
    if as_json:
        rows = [
            {"severity": str(each.severity), "code": each.code, "detail": each.detail} for each in findings
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        for each in findings:
            click.echo(f"{each.severity}\t{each.code}\t{each.detail}")
    if blocking(findings):
        raise CaError(Kind.INTERNAL, f"{file} has findings that block its issue")


def _enrol(
    client: APIClient,
    body: dict[str, Any],
    out: Path,
    key: ClientKey | None,
    idempotency_key: str | None = None,
) -> None:
    files = NewFiles(out, key)
    try:
        issued = _ask_until_issued(client, body, idempotency_key or secrets.token_hex(16))
    except BaseException:
        files.discard()
        raise
    certificate = issued["certificate"]
    # First its id: by that a certificate can be shown again whose file cannot be written.
    click.echo(certificate["id"])
    files.complete(certificate["pem_chain"])
    click.echo(f"wrote {out}/{CERTIFICATE}; serial number {certificate['serial_number']}", err=True)


def _ask_until_issued(client: APIClient, body: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
    """Ask, and ask again for as long as officers have not decided."""
    told = False
    while True:
        reply = client.post_until_answered("/certificate-requests", body, idempotency_key)
        issued = reply.json()
        if issued["status"] != "pending":
            return issued
        if not told:
            click.echo(
                f"request {issued['id']} waits for the approval of officers; "
                f"to go on later with the same --csr, give --idempotency-key {idempotency_key}",
                err=True,
            )
            told = True
        time.sleep(reply.retry_after or WAIT)


def _certificate_id(text: str) -> str:
    """An id as it is, or the id of the certificate in a file."""
    return text if _ID.fullmatch(text) else _id_of(_load(Path(text)))


def _id_of(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _load(path: Path) -> x509.Certificate:
    data = _read(path)
    try:
        if data.startswith(b"\x30"):
            return x509.load_der_x509_certificate(data)
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise CaError(Kind.MALFORMED, f"{path} is no certificate in PEM or DER") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise CaError(Kind.MALFORMED, f"{path} has over {MAX_FILE_BYTES} bytes")
    return data
