"""Where a token's PIN comes from: a file, a systemd credential, a person at a terminal, or shares.

Never the environment, an argument or a script, because other processes and logs can read those. A
`PinSource` names the place and does not show the PIN, so that settings can be shown and compared. Only one
that was joined from shares is held by it, in a `HeldSecret`.
"""

from __future__ import annotations

import getpass
import os
import re
import stat
import warnings
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from ca_server.core.errors import CaError, Kind, refuse

_SIZE_LIMIT = 1024
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class PinOrigin(StrEnum):
    """The closed list of places a PIN may come from."""

    FILE = "file"
    CREDENTIAL = "credential"
    PROMPT = "prompt"
    SECRET = "secret"  # noqa: S105  the name of a place


class HeldSecret:
    """A secret in this process's memory, until it is wiped.

    Wiping overwrites the octets held here. What `read` returned is a string, which Python cannot
    overwrite; an open token keeps one, to heal its session.
    """

    __slots__ = ("_octets",)

    def __init__(self, text: str) -> None:
        self._octets = bytearray(text, "utf-8")

    def read(self) -> str:
        """The secret; empty once it was wiped."""
        return self._octets.decode("utf-8")

    def wipe(self) -> None:
        """Overwrite the octets and forget their number."""
        self._octets[:] = bytes(len(self._octets))
        self._octets.clear()


@dataclass(frozen=True, slots=True)
class PinSource:
    """The place of one PIN; built by one of the `from_` methods and read when a token is opened.

    `place` is a path, the name of a systemd credential, the words of the prompt, or what a held PIN is.
    """

    origin: PinOrigin
    place: str
    _held: HeldSecret | None = field(default=None, repr=False)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """A file that nobody but its owner may read."""
        return cls(PinOrigin.FILE, str(path))

    @classmethod
    def from_credential(cls, name: str) -> Self:
        """A credential that systemd hands to the service (LoadCredential=), by its name."""
        return cls(PinOrigin.CREDENTIAL, name)

    @classmethod
    def from_prompt(cls, token: str) -> Self:
        """A person at the terminal, asked once for the PIN of the token with this label."""
        return cls(PinOrigin.PROMPT, f"PIN of the token {token}: ")

    @classmethod
    def from_secret(cls, text: str) -> Self:
        """A PIN that was joined from shares; `forget` wipes it after the token was opened last."""
        return cls(PinOrigin.SECRET, "the secret joined from shares", HeldSecret(text))

    def forget(self) -> None:
        """Wipe a PIN that is held; no-op for the others. It cannot be read again."""
        if self._held is not None:
            self._held.wipe()

    def read(self) -> str:
        """The PIN.

        Raises:
            CaError: HSM-PIN, when there is none, it is open to others, or it is not one line of text.
        """
        if self._held is not None:
            return _checked(self._held.read(), self.place)
        if self.origin is PinOrigin.PROMPT:
            return _checked(_ask(self.place), "the terminal")
        if self.origin is PinOrigin.CREDENTIAL:
            # systemd may grant the service its read right by an ACL, whose mask shows as the group's bits.
            path = _credential_path(self.place)
            return _checked(_read(path, forbidden=stat.S_IRWXO), str(path))
        return _checked(_read(Path(self.place), forbidden=stat.S_IRWXG | stat.S_IRWXO), self.place)


def _refusal(detail: str) -> CaError:
    return refuse(Kind.INTERNAL, "HSM-PIN", detail)


def _credential_path(name: str) -> Path:
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not Path(directory).is_absolute():
        raise _refusal(
            "systemd gave this process no credentials: CREDENTIALS_DIRECTORY is not an absolute path"
        )
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise _refusal("the name of a credential is letters, digits, dots, dashes and underscores")
    return Path(directory) / name


def _read(path: Path, *, forbidden: int) -> str:
    """The text of a small regular file, whose rights are read from the open file, not by its name."""
    try:
        # O_NONBLOCK: opening a pipe that somebody put in the file's place must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _refusal(f"the PIN file {path} cannot be opened: {error.strerror}") from error
    try:
        _check_rights(path, os.fstat(descriptor), forbidden)
        data = os.read(descriptor, _SIZE_LIMIT + 1)
    finally:
        os.close(descriptor)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # The decoder's error carries the bytes; they are the PIN and must not reach a log.
        raise _refusal(f"the PIN file {path} is not UTF-8 text") from None


def _check_rights(path: Path, status: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(f"the PIN file {path} is not a regular file")
    if status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        raise _refusal(f"the PIN file {path} is open to others (mode {mode:04o}); chmod it to 0600")
    if status.st_uid not in {0, os.geteuid()}:
        raise _refusal(f"the PIN file {path} belongs neither to this user nor to root")


def _ask(prompt: str) -> str:
    with warnings.catch_warnings():
        # getpass would fall back to an echoing prompt with a warning; that is refused instead.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except (getpass.GetPassWarning, EOFError) as error:
            raise _refusal("no terminal to ask for the PIN on; give a PIN file") from error


def _checked(text: str, place: str) -> str:
    """One line without its end; anything else is more likely a mistake than a PIN."""
    pin = text.removesuffix("\n").removesuffix("\r")
    if not pin or len(text) > _SIZE_LIMIT or not pin.isprintable():
        raise _refusal(f"{place} does not hold a PIN: one line of printable text is expected")
    return pin
