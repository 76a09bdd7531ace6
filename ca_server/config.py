"""The server's configuration: one TOML file, one frozen model, read once before anything opens."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ca_server.core.acme.settings import AcmeConfig
from ca_server.core.document import Duration, Strict, broken, parse_document
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.settings import EstConfig
from ca_server.core.identifiers import IdentifierType, make_identifier
from ca_server.hsm.settings import AbsolutePath, TokenConfig

_LISTEN = re.compile(r"(?:\[[0-9a-f:]+\]|[a-z0-9.-]+):[0-9]{1,5}|unix:/[^\s]+")
_NODE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62})")
# Where this machine and its neighbours' metadata services are, and never a client that proves a name.
_OWN_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "::ffff:127.0.0.0/104", "fe80::/10")
)


def _listen(text: str) -> str:
    if not _LISTEN.fullmatch(text):
        raise broken("CONFIG-LISTEN", "use HOST:PORT, such as 127.0.0.1:8443")
    return text


def _node(text: str) -> str:
    if not _NODE.fullmatch(text):
        raise broken("CONFIG-NODE", "use up to 63 of a-z, 0-9, '.' and '-'")
    return text


def _public_url(text: str) -> str:
    if not text.startswith("http://") or text.endswith("/") or not text.isprintable() or " " in text:
        raise broken("CONFIG-URL", "use a plain http:// URL without a slash at its end")
    return text


def _name(text: str) -> str:
    """As the certificate will carry it: one spelt otherwise would look missing from it for ever."""
    try:
        ipaddress.ip_address(text)
        name_type = IdentifierType.IP
    except ValueError:
        name_type = IdentifierType.DNS
    try:
        canonical = make_identifier(name_type, text).value
    except CaError as error:
        raise broken("CONFIG-NAME", error.detail) from error
    if text != canonical:
        raise broken("CONFIG-NAME", f"write {canonical}")
    return text


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Listen = Annotated[str, AfterValidator(_listen)]
PublicURL = Annotated[str, AfterValidator(_public_url)]
Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=20)]


class DatabaseConfig(Strict):
    """Where everything is kept: `sqlite:////path` or `postgresql://user@host/name`."""

    url: str = Field(pattern=r"^(sqlite:////|postgresql://)")


class ServerConfig(Strict):
    """The HTTPS door for clients and the plain HTTP door for what everyone may fetch."""

    https: Listen
    http: Listen
    names: Names
    workers: int = Field(default=2, ge=1, le=64)
    threads: int = Field(default=8, ge=1, le=64)
    pin_workers: bool = True
    tls_key: AbsolutePath
    # Whose word is taken for clients' certificates and addresses, on a unix socket.
    proxy_user: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_-]{0,31}$")

    @property
    def is_behind_proxy(self) -> bool:
        """Whether TLS ends in the proxy in front."""
        return self.https.startswith("unix:")

    @model_validator(mode="after")
    def _proxy_is_known(self) -> Self:
        if self.is_behind_proxy and self.proxy_user is None:
            raise broken("CONFIG-PROXY", "server.https on a unix socket needs server.proxy_user")
        if not self.is_behind_proxy and self.proxy_user is not None:
            raise broken("CONFIG-PROXY", "server.proxy_user needs server.https on a unix socket")
        return self


class PublicationConfig(Strict):
    """The URLs that are written into certificates, and other ways up from our authorities."""

    public_url: PublicURL
    ocsp_url: PublicURL
    # Each a PEM file: a certificate that another authority issued to one of ours, and what is above it.
    cross_certificates: Annotated[
        tuple[AbsolutePath, ...], BeforeValidator(_tuple), Field(max_length=10)
    ] = ()


class AuditConfig(Strict):
    """The log's verifier key (which names the log), its key, and an anchor outside of the database."""

    vkey: str = Field(min_length=1, max_length=4096)
    key: str = Field(pattern=r"^pkcs11:")
    anchor: AbsolutePath


class CrlConfig(Strict):
    """How often a CRL is made, and how long it may be used."""

    interval: Duration = timedelta(hours=1)
    validity: Duration = timedelta(hours=24)

    @model_validator(mode="after")
    def _made_anew_in_time(self) -> Self:
        if self.interval >= self.validity:
            raise broken("CONFIG-CRL", "a CRL is made anew before it ends: interval is less than validity")
        return self


class PoliciesConfig(Strict):
    """Where profiles are kept; without it, those that come with Sealkeeper are in force."""

    directory: AbsolutePath | None = None


class CeremonyConfig(Strict):
    """Whose ceremonies are imported: of one roster, or of the people of one domain."""

    roster_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    domain: str | None = Field(default=None, pattern=r"^[a-z0-9.-]{1,253}$")


class Config(Strict):
    """The whole file."""

    mode: Literal["production", "rehearsal"]
    node: Annotated[str, AfterValidator(_node)]
    state_directory: AbsolutePath
    database: DatabaseConfig
    server: ServerConfig
    publication: PublicationConfig
    token: Annotated[tuple[TokenConfig, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=32)]
    audit: AuditConfig
    crl: CrlConfig = CrlConfig()
    policies: PoliciesConfig = PoliciesConfig()
    ceremony: CeremonyConfig = CeremonyConfig()
    acme: AcmeConfig | None = None
    est: EstConfig | None = None

    @model_validator(mode="after")
    def _looks_outside(self) -> Self:
        """A production server never asks itself for proof that somebody else controls a name (R26)."""
        if self.mode == "production" and self.acme is not None:
            for text in self.acme.validation.networks:
                network = ipaddress.ip_network(text)
                if any(network.version == own.version and network.subnet_of(own) for own in _OWN_NETWORKS):  # type: ignore[arg-type]
                    raise broken(
                        "CONFIG-ACME-NETWORK",
                        f"{text} is loopback or link-local, which production never connects to",
                    )
        return self


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        CaError: malformed, every broken rule with its place; not_found, the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
    return parse_document(data, Config, f"configuration {path}", rule="CONFIG")
