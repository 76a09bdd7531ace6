"""Installs the demo as an operator would install the real thing, step by step, and only what is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.cli.demo.configs import log_of, ocsp_toml, server_toml
from ca_server.cli.demo.layout import EST_PROFILE, Layout
from ca_server.cli.demo.processes import sealkeeper
from ca_server.core.bundle import TRANSCRIPT, Bundle, read_bundle
from ca_server.core.errors import CaError, Kind

ROLES = {
    "administrator": ["--profile", "*", "--allow", "*"],
    "officer": ["--profile", "*", "--allow", "*"],
    "auditor": [],
    "requester": ["--profile", "tls-*", "--profile", "device-identity", "--allow", "*"],
}

Step = Callable[[str, Callable[[], None]], None]


class Install:
    """Brings the folder to the state in which every process can start; safe to run again."""

    def __init__(self, layout: Layout, step: Step) -> None:
        self._layout = layout
        self._step = step

    def run(self) -> None:
        """Do what has not been done yet.

        Raises:
            CaError: a step failed, with what it said.
        """
        layout = self._layout
        for folder in (
            layout.directory,
            layout.state,
            layout.tokens,
            layout.directory / "logs",
            layout.directory / "ocsp-state",
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not layout.bundle.exists():
            self._step("a rehearsed key ceremony in SoftHSM", self._rehearse)
        bundle = read_bundle(layout.bundle.read_bytes())
        self._write_files(bundle)
        self._step("the newest database schema", self._upgrade)
        if not (layout.state / "imported").exists():
            self._step("the ceremony's bundle imported", self._import)
        for role in ROLES:
            if not (layout.tokens / role).exists():
                self._step(f"an API token for the {role}", partial(self._make_token, role))
        if not (layout.external_account / "hmac-key").exists():
            self._step("an external account key for ACME", self._make_external_key)
        if not (layout.enrolment / "secret").exists():
            self._step("an enrolment secret for EST", self._make_enrolment_secret)

    def _upgrade(self) -> None:
        self._run("db", "upgrade", *self._config())

    def _config(self) -> list[str]:
        return ["--config", str(self._layout.server_config)]

    def _rehearse(self) -> None:
        ceremony = self._layout.ceremony
        transcript = ceremony / "files" / TRANSCRIPT
        if transcript.exists() and transcript.stat().st_size:
            # It was cut short: every key that it made so far is in its transcript.
            self._run("ceremony", "resume", str(ceremony))
            return
        shutil.rmtree(ceremony, ignore_errors=True)
        script = self._layout.directory / "first-hierarchy.toml"
        script.write_text(self._run("ceremony", "script", "--public-url", self._layout.http_url))
        self._run("ceremony", "rehearse", str(script), "--directory", str(ceremony))

    def _write_files(self, bundle: Bundle) -> None:
        layout = self._layout
        by_role: dict[str, list[bytes]] = {"root": [], "issuing": []}
        for authority in bundle.manifest.authorities:
            certificate = x509.load_der_x509_certificate(bundle.files[authority.certificate])
            by_role[authority.role].append(certificate.public_bytes(Encoding.PEM))
            _write(layout.authority_certificate(authority.id), bundle.files[authority.certificate])
        _write(layout.roots, b"".join(by_role["root"]))
        _write(layout.issuing_chain, b"".join(by_role["issuing"]))
        _write(layout.vkey, log_of(bundle).vkey.encode() + b"\n")
        _write(layout.server_config, server_toml(layout, bundle).encode())
        for responder in bundle.manifest.responders:
            _write(layout.responder_certificate(responder.authority), bundle.files[responder.certificate])
        _write(layout.ocsp_config, ocsp_toml(layout, bundle).encode())

    def _import(self) -> None:
        self._run("init", "--bundle", str(self._layout.bundle), *self._config())
        (self._layout.state / "imported").touch()

    def _make_token(self, role: str) -> None:
        out = ["--out", str(self._layout.tokens / role)]
        self._run(
            "token", "create", "--role", role, "--name", f"demo {role}", *ROLES[role], *out, *self._config()
        )

    def _make_external_key(self) -> None:
        allowed = ["--profile", "tls-*", "--allow", "*", "--uses", "1000000", "--valid", "365d"]
        made = json.loads(
            self._run("acme", "eab", "create", "--owner", "demo", *allowed, "--json", *self._config())
        )
        folder = self._layout.external_account
        folder.mkdir(mode=0o700, exist_ok=True)
        # The secret last: where it is there, so is all of it.
        for name, content in (("kid", made["id"]), ("hmac-key", made["hmac_key"])):
            _write(folder / name, content.encode() + b"\n", mode=0o600)

    def _make_enrolment_secret(self) -> None:
        allowed = ["--profile", EST_PROFILE, "--allow", "*", "--uses", "1000000", "--valid", "365d"]
        made = json.loads(
            self._run("est", "secret", "create", "--owner", "demo", *allowed, "--json", *self._config())
        )
        folder = self._layout.enrolment
        folder.mkdir(mode=0o700, exist_ok=True)
        # The last one is what `sealkeeper enroll` reads.
        for name, content in (
            ("username", made["id"]),
            ("password", made["secret"]),
            ("secret", f"{made['id']}:{made['secret']}"),
        ):
            _write(folder / name, content.encode() + b"\n", mode=0o600)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            sealkeeper(*arguments),
            capture_output=True,
            text=True,
            check=False,
            env=self._layout.environment(),
            timeout=300,
        )
        if done.returncode != 0:
            raise CaError(
                Kind.INTERNAL,
                f"sealkeeper {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}".rstrip(),
            )
        return done.stdout


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.touch(mode=mode)
    temporary.write_bytes(content)
    temporary.rename(path)
