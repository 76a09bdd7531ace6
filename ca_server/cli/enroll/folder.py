"""The folder of one enrolled host: what is served from it, what is under way, and what a crash left.

    enroll.toml            what to do; no secret
    anchors.pem            the roots that this host trusts
    current -> versions/2  what services read: key.pem cert.pem chain.pem fullchain.pem combined.pem root.pem
    versions/1, /2         whole from the moment they have that name, and never changed again
    next/                  the key and the CSR of a request that has no certificate yet
    state.json             up to which version the hook has succeeded; when the CA's certificates were read

Every step is one rename of something that is whole and on the disk, so that a crash leaves the state before
it or the state after it; `settle` goes on from either. Nothing but `current` moves under a reader.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from ca_server.cli.enroll.files import PRIVATE, PUBLIC, read_capped, replace, sync, write_new
from ca_server.core.errors import CaError, Kind

KEY, CERTIFICATE, CHAIN, FULL_CHAIN, ROOT = "key.pem", "cert.pem", "chain.pem", "fullchain.pem", "root.pem"
# Key and chain in one file, as haproxy wants them.
COMBINED = "combined.pem"
CSR, OPERATION = "csr.pem", "operation"

SIMPLE_ENROLL, SIMPLE_REENROLL = "simpleenroll", "simplereenroll"


@dataclass(frozen=True, slots=True)
class Version:
    """A key with its certificate, chain and roots, as services read them."""

    number: int
    path: Path

    def certificate(self) -> x509.Certificate:
        """The host's own certificate."""
        return x509.load_pem_x509_certificate(read_capped(self.path / CERTIFICATE))

    def read(self, name: str) -> bytes:
        """The content of one of its files."""
        return read_capped(self.path / name)


@dataclass(frozen=True, slots=True)
class Request:
    """A CSR that was or will be sent until it has an answer, and the operation that it is for."""

    operation: str
    csr_pem: bytes
    key_pem: bytes

    @property
    def csr(self) -> x509.CertificateSigningRequest:
        """The CSR itself."""
        return x509.load_pem_x509_csr(self.csr_pem)


@dataclass(frozen=True, slots=True)
class State:
    """`deployed` is the version whose hook has succeeded; `checked_at` is in seconds since 1970."""

    deployed: int = 0
    checked_at: int = 0


class Folder:
    """One folder; all that changes it is called with `locked` held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_file = path / "enroll.toml"
        self.anchors_file = path / "anchors.pem"
        self._current = path / "current"
        self._versions = path / "versions"
        self._next = path / "next"
        self._state = path / "state.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if there is none, and keep other runs out of it.

        Raises:
            CaError: unavailable, another run is at work; forbidden, other users can write here.
        """
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._require_private()
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CaError(
                    Kind.UNAVAILABLE,
                    f"another `sealkeeper enroll` is at work in {self.path}: wait for its end",
                ) from error
            yield
        finally:
            os.close(descriptor)

    def settle(self) -> None:
        """Finish what a crash left behind: half a version goes, a whole one that is newest is served.

        The versions before it go once its hook has succeeded, not in the run that made it: a service may
        still be reading them.
        """
        for leftover in (".version.new", ".next.new", ".next.old"):
            shutil.rmtree(self.path / leftover, ignore_errors=True)
        numbers = self._numbers()
        if numbers and numbers[-1] != self._current_number():
            self._switch(numbers[-1])
        current = self.current()
        if current is None:
            return
        request = self.request()
        if request is not None and request.csr_pem == current.read(CSR):
            self.discard()
        if self.state().deployed == current.number:
            for number in numbers[:-1]:
                shutil.rmtree(self._versions / str(number))

    def current(self) -> Version | None:
        """What services read now."""
        number = self._current_number()
        return None if number is None else Version(number, self._versions / str(number))

    def request(self) -> Request | None:
        """The request under way."""
        if not self._next.is_dir():
            return None
        operation = read_capped(self._next / OPERATION).decode("ascii", "replace")
        return Request(operation, read_capped(self._next / CSR), read_capped(self._next / KEY))

    def begin(self, request: Request) -> None:
        """Keep a new request, in place of one that is given up, before anything of it is sent."""
        aside = self.path / ".next.new"
        aside.mkdir(mode=0o700)
        write_new(aside / KEY, request.key_pem, PRIVATE)
        write_new(aside / CSR, request.csr_pem, PUBLIC)
        write_new(aside / OPERATION, request.operation.encode(), PUBLIC)
        sync(aside)
        self.discard()
        aside.rename(self._next)
        sync(self.path)

    def discard(self) -> None:
        """Give up the request under way."""
        if self._next.is_dir():
            gone = self.path / ".next.old"
            self._next.rename(gone)
            shutil.rmtree(gone)

    def install(self, files: dict[str, bytes]) -> Version:
        """Serve these files, by name, as a new version; the request that they answer is done with."""
        aside = self.path / ".version.new"
        aside.mkdir(mode=0o755)
        for name, data in files.items():
            write_new(aside / name, data, PRIVATE if name in {KEY, COMBINED} else PUBLIC)
        sync(aside)
        self._versions.mkdir(mode=0o755, exist_ok=True)
        number = 1 + max(self._numbers(), default=0)
        aside.rename(self._versions / str(number))
        sync(self._versions)
        self._switch(number)
        self.discard()
        return Version(number, self._versions / str(number))

    def state(self) -> State:
        """What is remembered about hook and refreshing; nothing yet in a new folder."""
        try:
            found: dict[str, Any] = json.loads(read_capped(self._state))
            return State(int(found["deployed"]), int(found["checked_at"]))
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, KeyError) as error:
            raise CaError(Kind.MALFORMED, f"{self._state} is damaged: delete it, and run again") from error

    def remember(self, state: State) -> None:
        """Keep this in place of what was remembered."""
        text = json.dumps({"deployed": state.deployed, "checked_at": state.checked_at})
        replace(self._state, text.encode(), PUBLIC)

    def _switch(self, number: int) -> None:
        aside = self.path / ".current.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(Path("versions") / str(number))
        aside.replace(self._current)
        sync(self.path)

    def _numbers(self) -> list[int]:
        if not self._versions.is_dir():
            return []
        return sorted(int(each.name) for each in self._versions.iterdir() if each.name.isdecimal())

    def _current_number(self) -> int | None:
        try:
            return int(self._current.readlink().name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise CaError(
                Kind.CONFLICT, f"{self._current} is no link of `sealkeeper enroll`: move it away"
            ) from error

    def _require_private(self) -> None:
        """What the folder says is done as this user: nobody else may write it."""
        for path in (self.path, self.settings_file, self.anchors_file):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if found.st_uid not in {0, os.geteuid()} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise CaError(
                    Kind.FORBIDDEN,
                    f"other users can write {path}: make it yours (chown) and closed (chmod go-w),"
                    " once you have looked at what stands in it",
                )
