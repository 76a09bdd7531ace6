"""What the laboratory asks of an EST client, whoever wrote it."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

from cryptography import x509

from tests.conformance.est.capabilities import Capability
from tests.fixtures.commands import missing_tool, run


class Surroundings(Protocol):
    """Where a client finds the server."""

    url: str
    roots: Path


@dataclass(frozen=True)
class Secret:
    """An enrolment secret as an officer handed it out."""

    username: str
    password: str

    def __str__(self) -> str:
        return f"{self.username}:{self.password}"


@dataclass(frozen=True)
class Pair:
    """A private key and, once there is one, its certificate, as PEM files."""

    key: Path
    certificate: Path

    @cached_property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


@dataclass(frozen=True)
class Wish:
    """What a client asks with: a CSR in PEM, and where the outcome goes."""

    csr: Path
    pair: Pair


class Refused(Exception):
    """The server said no; `text` is what the client shows of its words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


def make_wish(folder: Path, subject: str, *names: str, key: Path | None = None, curve: str = "P-256") -> Wish:
    """A new CSR by openssl, as its user would make it, for a key of its own or for one that is there."""
    folder.mkdir(parents=True)
    key_file = key or folder / "key.pem"
    if key is None:
        kind = ("-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
        if curve.startswith("rsa"):
            kind = ("-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{curve.removeprefix('rsa')}")
        run("openssl", "genpkey", *kind, "-out", str(key_file))
    csr = folder / "request.pem"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    run(
        *("openssl", "req", "-new", "-key", str(key_file), "-subj", subject, "-out", str(csr)),
        *("-addext", f"subjectAltName={alternatives}"),
    )
    return Wish(csr, Pair(key_file, folder / "certificate.pem"))


class Client(ABC):
    """An EST client; it does what its `knows` lists."""

    title: ClassVar[str]
    program: ClassVar[str]
    knows: ClassVar[frozenset[Capability]]

    def __init__(self, lab: Surroundings, home: Path) -> None:
        home.mkdir(parents=True)
        self.lab = lab
        self.home = home

    @classmethod
    def require(cls) -> None:
        """Skip, or fail in CI, where the client is not installed."""
        if shutil.which(cls.program) is None:
            missing_tool(cls.program)

    @abstractmethod
    def authorities(self) -> set[x509.Certificate]:
        """What `/cacerts` has."""

    @abstractmethod
    def enrol(self, wish: Wish, secret: Secret) -> Pair:
        """A first certificate (RFC 7030 §4.2.1), waited for where that is needed.

        Raises:
            Refused: what the server said instead.
        """

    @abstractmethod
    def renew(self, wish: Wish, old: Pair) -> Pair:
        """The next certificate (RFC 7030 §4.2.2), by the one that there is.

        Raises:
            Refused: what the server said instead.
        """
