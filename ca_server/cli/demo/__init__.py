"""`sealkeeper demo`: a whole appliance on this machine, in one folder, that proves itself and stays up."""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ca_server.cli.demo.addresses import challenge_port, dns_server
from ca_server.cli.demo.install import ROLES, Install
from ca_server.cli.demo.layout import ACME_EAB_PROFILE, ACME_PROFILE, DemoOptions, Layout, write_json
from ca_server.cli.demo.processes import Processes
from ca_server.cli.demo.smoke import NotTried, Smoke
from ca_server.core.errors import CaError, Kind

WATCH_SECONDS = 0.5


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="The folder that holds all of it.",
)
@click.option(
    "--https-port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="Of the HTTPS door."
)
@click.option(
    "--http-port",
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    help="Of the plain HTTP door.",
)
@click.option(
    "--ocsp-port", type=click.IntRange(1, 65535), default=8081, show_default=True, help="Of the responder."
)
@click.option("--database-url", help="postgresql://user@host/name; SQLite in the folder when not given.")
@click.option(
    "--dns-server",
    callback=dns_server,
    help="HOST:PORT of the DNS server that names are validated by; the system's when not given.",
)
@click.option(
    "--http01-port",
    type=click.IntRange(1, 65535),
    default=80,
    show_default=True,
    callback=challenge_port,
    help="Where http-01 is looked for; when not given and you may not listen there, 5002.",
)
@click.option(
    "--tls-alpn01-port",
    type=click.IntRange(1, 65535),
    default=443,
    show_default=True,
    callback=challenge_port,
    help="Where tls-alpn-01 is looked for; when not given and you may not listen there, 5001.",
)
@click.option("--exit-after-smoke", is_flag=True, help="End with 0 or 1 once everything was tried.")
def command(directory: Path, *, exit_after_smoke: bool, **options: Any) -> None:
    """Run a rehearsed ceremony in SoftHSM, start every process, try everything, stay up.

    Nothing outside the folder is touched, and nobody needs to be root. Ctrl-C stops; running it again goes
    on with the same authority; removing the folder removes the demo.
    """
    layout = Layout(DemoOptions(directory.resolve(), **options))
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.default_int_handler)
    with _alone_in(layout.directory):
        _run(layout, exit_after_smoke=exit_after_smoke)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two demos in one folder would write over each other's files, and end each other's processes."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CaError(
                Kind.CONFLICT, f"a demo runs in {directory} already: stop it first, or give another --dir"
            ) from error
        yield


def _run(layout: Layout, *, exit_after_smoke: bool) -> None:
    Install(layout, step).run()
    processes = Processes(layout)
    try:
        step("every process up and ready", lambda: _start(layout, processes))
        smoke = Smoke(layout)
        smoke.prepare()
        for title, action in smoke.steps():
            step(title, action)
        write_json(layout.directory / "demo.json", _description(layout, processes))
        if not exit_after_smoke:
            _stay(layout, processes)
    finally:
        (layout.directory / "demo.json").unlink(missing_ok=True)
        processes.stop()


def step(title: str, action: Callable[[], object]) -> None:
    """Do one thing and say so in one line, with the time it took."""
    started = time.monotonic()
    try:
        action()
    except NotTried as reason:
        click.echo(f"  - {title}: not tried, {reason}", err=True)
        return
    except BaseException:
        click.echo(f"  ✗ {title}", err=True)
        raise
    click.echo(f"  ✓ {title} ({time.monotonic() - started:.1f} s)", err=True)


def _start(layout: Layout, processes: Processes) -> None:
    config = ["--config", str(layout.server_config)]
    processes.start("serve", "serve", *config)
    processes.start("worker", "worker", *config)
    processes.start("ocsp", "ocsp", "serve", "--config", str(layout.ocsp_config))
    processes.wait_until_ready([f"{layout.http_url}/readyz", f"{layout.ocsp_url}/readyz"])
    processes.wait_until_ready([f"{layout.ca_url}/readyz"])


def _description(layout: Layout, processes: Processes) -> dict[str, object]:
    """What programs and people need to use this demo; all paths absolute."""
    return {
        "ca_url": layout.ca_url,
        "acme_directory": layout.acme_directory(ACME_PROFILE),
        "acme_eab_directory": layout.acme_directory(ACME_EAB_PROFILE),
        "eab": {
            "kid": (layout.external_account / "kid").read_text().strip(),
            "hmac_key_file": str(layout.external_account / "hmac-key"),
        },
        "est_url": layout.est_url,
        "est": {
            "username": (layout.enrolment / "username").read_text().strip(),
            "password_file": str(layout.enrolment / "password"),
        },
        "http01_port": layout.options.http01_port,
        "tls_alpn01_port": layout.options.tls_alpn01_port,
        "http_url": layout.http_url,
        "ocsp_url": layout.ocsp_url,
        "roots": str(layout.roots),
        "issuing_chain": str(layout.issuing_chain),
        "tokens": {role: str(layout.tokens / role) for role in ROLES},
        "audit": {"url": f"{layout.http_url}/audit", "vkey": layout.vkey.read_text().strip()},
        "softhsm2_conf": str(layout.softhsm_conf),
        "pids": processes.pids,
    }


def _stay(layout: Layout, processes: Processes) -> None:
    """Say what to try, then watch over the processes until Ctrl-C."""
    hints = _HINTS.format(
        layout=layout, acme=layout.acme_directory(ACME_PROFILE), port=layout.options.http01_port
    )
    click.echo(hints, err=True)
    try:
        while not (ended := processes.ended()):
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        click.echo("stopping", err=True)
        return
    logs = ", ".join(str(processes.log_file(name)) for name in ended)
    raise CaError(Kind.UNAVAILABLE, f"{', '.join(ended)} ended by itself: see {logs}")


_HINTS = """
The appliance is up. DEMO: its keys are in software, and nothing but this machine should trust it.

  HTTPS door   {layout.ca_url}
  ACME         {acme}
  EST          {layout.est_url}
  CRLs, log    {layout.http_url}
  OCSP         {layout.ocsp_url}
  root         {layout.roots}
  all of this  {layout.directory}/demo.json

Try, in another terminal:

  export SEALKEEPER_URL={layout.ca_url} SEALKEEPER_ROOT={layout.roots}
  export SEALKEEPER_TOKEN_FILE={layout.tokens}/requester
  .venv/bin/sealkeeper certificate issue --profile tls-server --san host.example.test --out host
  openssl verify -CAfile {layout.roots} -untrusted {layout.issuing_chain} host/cert.pem
  REQUESTS_CA_BUNDLE={layout.roots} certbot certonly --server {acme} --standalone --http-01-port {port} \
    --agree-tos --register-unsafely-without-email -n --config-dir c --work-dir w --logs-dir l -d localhost
  .venv/bin/sealkeeper enroll --url {layout.est_url} --root {layout.roots} \
    --secret-file {layout.enrolment}/secret --name device.example.test --dir device
  .venv/bin/sealkeeper audit verify --url {layout.http_url}/audit --vkey {layout.vkey}

Ctrl-C stops. Running it again goes on from here. To remove it: rm -r {layout.directory}
"""
