"""Where the demo keeps what, and the configuration files that it writes: those of a real install."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = "root-r1"
AUTHORITY = "issuing-i1"
ACME_PROFILE = "tls-server"
ACME_EAB_PROFILE = "tls-server-eab"
EST_PROFILE = "tls-peer"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What can be chosen on the command line."""

    directory: Path
    https_port: int
    http_port: int
    ocsp_port: int
    database_url: str | None
    dns_server: str | None = None
    http01_port: int = 80
    tls_alpn01_port: int = 443


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path and URL of a demo, absolute; `rehearsal` is a ceremony's folder from elsewhere."""

    options: DemoOptions
    rehearsal: Path | None = None

    @property
    def directory(self) -> Path:
        """The demo's folder."""
        return self.options.directory

    @property
    def ceremony(self) -> Path:
        """What the rehearsal made: tokens, PIN files, bundle."""
        return self.rehearsal or self.directory / "ceremony"

    @property
    def softhsm_conf(self) -> Path:
        """SoftHSM's configuration; Debian's own is unreadable to users."""
        return self.ceremony / "softhsm2.conf"

    @property
    def bundle(self) -> Path:
        """The ceremony's outcome, which the server imports."""
        return self.ceremony / "bundle.tar"

    @property
    def roots(self) -> Path:
        """The root certificate that clients trust."""
        return self.directory / "roots.pem"

    @property
    def issuing_chain(self) -> Path:
        """The certificate of the issuing authority."""
        return self.directory / "issuing.pem"

    @property
    def vkey(self) -> Path:
        """The key with which outsiders verify the audit log."""
        return self.directory / "audit.vkey"

    @property
    def state(self) -> Path:
        """The server's own files."""
        return self.directory / "state"

    @property
    def server_config(self) -> Path:
        """The configuration of `serve` and `worker`."""
        return self.directory / "server.toml"

    @property
    def ocsp_config(self) -> Path:
        """The configuration of the OCSP responder."""
        return self.directory / "ocsp.toml"

    @property
    def tokens(self) -> Path:
        """Files of API tokens, one a role."""
        return self.directory / "tokens"

    @property
    def external_account(self) -> Path:
        """The folder of the external account key that ACME accounts may be bound with."""
        return self.directory / "eab"

    @property
    def enrolment(self) -> Path:
        """The folder of the secret that devices and hosts may enrol with over EST."""
        return self.directory / "est"

    @property
    def ca_url(self) -> str:
        """The HTTPS door."""
        return f"https://localhost:{self.options.https_port}"

    def acme_directory(self, profile: str) -> str:
        """The URL that an ACME client is given for a profile."""
        return f"{self.ca_url}/acme/{profile}/directory"

    @property
    def est_url(self) -> str:
        """The URL that an EST client is given; what it asks for is of one profile unless it gives a label."""
        return f"{self.ca_url}/.well-known/est"

    @property
    def http_url(self) -> str:
        """The plain HTTP door."""
        return f"http://localhost:{self.options.http_port}"

    @property
    def ocsp_url(self) -> str:
        """The OCSP responder."""
        return f"http://localhost:{self.options.ocsp_port}"

    @property
    def database_url(self) -> str:
        """The database: SQLite in the folder unless another was named."""
        return self.options.database_url or f"sqlite:///{self.state / 'sealkeeper.sqlite'}"

    def responder_certificate(self, authority: str) -> Path:
        """The certificate with which the OCSP responder answers for an authority."""
        return self.directory / f"ocsp-{authority}.cer"

    def authority_certificate(self, authority: str) -> Path:
        """An authority's certificate, as the OCSP responder reads it."""
        return self.directory / f"{authority}.cer"

    def environment(self) -> dict[str, str]:
        """The environment of every process of the demo."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.softhsm_conf)}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.rename(path)
