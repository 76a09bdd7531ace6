"""What the laboratory asks of an ACME client, whoever wrote it."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

from cryptography import x509

from tests.conformance.acme.capabilities import Capability
from tests.fixtures.commands import missing_tool

# Made by ops/bootstrap: these clients hold other versions of libraries than the server does.
ACME_CLIENTS = Path(__file__).parents[4] / ".venv-acme-clients"


class Surroundings(Protocol):
    """Where a client finds the server, and how it is found by it."""

    http_port: int
    tls_port: int
    dns: str
    challtestsrv: str
    roots: Path

    def directory(self, profile: str) -> str:
        """The URL of a profile's ACME directory."""

    def new_address(self) -> str:
        """A loopback address that nobody else listens on, so that clients can answer side by side."""

    def point(self, name: str, address: str) -> None:
        """Let DNS say that a name has an address."""


@dataclass(frozen=True)
class ExternalKey:
    """An external account key as an officer handed it out."""

    kid: str
    hmac: str


@dataclass(frozen=True)
class Wish:
    """The certificate that a client is told to get. `csr` is a file of the user's own making."""

    names: tuple[str, ...]
    challenge: str = "http-01"
    profile: str | None = None
    csr: Path | None = None


@dataclass(frozen=True)
class Issued:
    """What a client stored: the chain as it stands in its file, and the key unless the user kept it."""

    chain_file: Path
    key_file: Path | None

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return tuple(x509.load_pem_x509_certificates(self.chain_file.read_bytes()))

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    def copy(self, folder: Path) -> Issued:
        """The same in another folder, before the client moves on."""
        folder.mkdir(parents=True)
        key = self.key_file and folder / "key.pem"
        if self.key_file and key:
            shutil.copy(self.key_file, key)
        shutil.copy(self.chain_file, folder / "chain.pem")
        return Issued(folder / "chain.pem", key)


# What not every client can do, and the method that does it.
METHODS = {
    Capability.UPDATE: "update",  # (email): give the account another contact
    Capability.RENEWAL_INFO: "renew_when_told",  # (wish): ask for the window (RFC 9773), renew as it is open
    Capability.REVOKE_BY_KEY: "revoke_by_key",  # (issued): with the certificate's own key and no account
    Capability.CHANGE_KEY: "change_key",  # (): give the account a new key (RFC 8555 §7.3.5)
    Capability.DEACTIVATE: "deactivate",  # (): deactivate the account
}


class Client(ABC):
    """One installation of a client: a folder, an account, an address of its own.

    A client does what its `knows` lists. It has the methods of `METHODS` only where it knows what they do.
    """

    title: ClassVar[str]
    program: ClassVar[str]
    knows: ClassVar[frozenset[Capability]]

    def __init__(
        self,
        lab: Surroundings,
        home: Path,
        *,
        profile: str = "tls-server",
        external_key: ExternalKey | None = None,
    ) -> None:
        home.mkdir(parents=True)
        self.lab = lab
        self.home = home
        self.profile = profile
        self.external_key = external_key
        self.email = f"{home.name}-{home.parent.name}@example.test"

    @cached_property
    def address(self) -> str:
        """Where this client answers challenges."""
        return self.lab.new_address()

    @property
    def directory(self) -> str:
        return self.lab.directory(self.profile)

    @classmethod
    def require(cls) -> None:
        """Skip, or fail in CI, where the client is not installed."""
        if shutil.which(cls.program) is None:
            missing_tool(cls.program)

    @abstractmethod
    def register(self) -> None:
        """Make the account, with the external key if there is one."""

    @abstractmethod
    def issue(self, wish: Wish) -> Issued:
        """Get a certificate, all challenges answered; registers first where that was not done."""

    @abstractmethod
    def renew(self, wish: Wish) -> Issued:
        """Get the next certificate for the same names, although the old one is far from its end."""

    @abstractmethod
    def revoke(self, issued: Issued) -> None:
        """Revoke by this account's key, whoever got the certificate; the reason is `superseded`."""
