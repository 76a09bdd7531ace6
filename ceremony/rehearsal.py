"""A room to rehearse in: SoftHSM tokens, random PINs in files, practice officers, and a host file for them.

Several ceremonies can be rehearsed in one room, each in a folder of its own: the root that one made signs the
CRL that the next one is about.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.host import Host, check_host, parse_host
from ceremony.practice import make_practice_roster
from ceremony.script import Script

_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)
_SECONDS = 30
PRACTICE = "practice"
CONFIGURATION = "softhsm2.conf"


def prepare(
    script: Script,
    directory: Path,
    *,
    room: Path | None = None,
    roster: Path | None = None,
    inputs: Mapping[str, Path],
    now: datetime,
) -> Host:
    """Make `directory` with all that a rehearsal of the script needs, and point SoftHSM at the room's tokens.

    In the room, which is the folder itself unless another one is given: `softhsm2.conf`, `tokens/`,
    `pins/ALIAS`, `practice/`. In the folder: `host.toml`; the ceremony adds `files/`, `bundle.tar` and
    `api-server.key`.

    Without a `roster` the practice officers' own is in force, who then sign by themselves.

    Raises:
        CaError: conflict, `CEREMONY-DIRECTORY`; unavailable, SoftHSM is not there or does not work.
    """
    directory = directory.absolute()
    room = room.absolute() if room else directory
    module = next((path for path in _MODULES if path.exists()), None)
    if module is None:
        raise CaError(Kind.UNAVAILABLE, "SoftHSM is not installed: apt-get install softhsm2")
    roster = roster.absolute() if roster else room / PRACTICE / "roster.json"
    text = _host_file(script, _Places(directory, room, roster, module), inputs)
    host = parse_host(text.encode())
    check_host(script, host)
    _make_directories(directory, room)
    configuration = room / CONFIGURATION
    if not configuration.exists():
        configuration.write_text(
            f"directories.tokendir = {room / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
    (directory / "host.toml").write_text(text)
    make_practice_roster(script, room / PRACTICE, now)
    enter(host)
    for alias, device in script.hsm.items():
        pin_file = room / "pins" / alias
        # A token whose secret is split was initialised in this room by a ceremony, or is in this one.
        if device.secret == "pin" and not pin_file.exists():  # noqa: S105 - a kind of secret, not one
            _make_token(host.tokens[alias].label, pin_file)
    return host


def enter(host: Host) -> None:
    """Point SoftHSM at the tokens of a rehearsal's room; nothing for any other host."""
    if host.practice is not None and host.mode == "rehearsal":
        os.environ["SOFTHSM2_CONF"] = str(host.practice.parent / CONFIGURATION)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts of a rehearsal are."""

    directory: Path
    room: Path
    roster: Path
    module: Path


def _host_file(script: Script, places: _Places, inputs: Mapping[str, Path]) -> str:
    directory, room = places.directory, places.room
    lines = [
        'format = "ceremony-host/v2"',
        'mode = "rehearsal"',
        f"output_directory = {_quoted(directory)}",
        f"api_server_key = {_quoted(directory / 'api-server.key')}",
        f"roster = {_quoted(places.roster)}",
        f"practice = {_quoted(room / PRACTICE)}",
        f"media = [{_quoted(directory / 'media-1')}, {_quoted(directory / 'media-2')}]",
    ]
    if inputs:
        lines += ["", "[inputs]", *(f"{name} = {_quoted(path.absolute())}" for name, path in inputs.items())]
    for alias in script.hsm:
        lines += [
            "",
            f"[tokens.{alias}]",
            f"module = {_quoted(places.module)}",
            f"label = {_quoted(REHEARSAL_PREFIX + (script.hsm[alias].label or alias))}",
        ]
        if script.hsm[alias].secret == "pin":  # noqa: S105 - as above
            lines += [
                f"pin_file = {_quoted(room / 'pins' / alias)}",
                f"so_pin_file = {_quoted(_officer_pin(room / 'pins' / alias))}",
            ]
    return "\n".join(lines) + "\n"


def _quoted(value: str | Path) -> str:
    """A TOML basic string; JSON writes the same, but for signs that the host file's parser refuses anyway."""
    return json.dumps(str(value), ensure_ascii=False)


def _make_directories(directory: Path, room: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise refuse(
            Kind.CONFLICT,
            "CEREMONY-DIRECTORY",
            f"{directory} is not empty; rehearse in a new folder, resume what is in it, or remove it first",
        )
    media = (directory / "media-1", directory / "media-2")
    for folder in (directory, room, room / "tokens", room / "pins", *media):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _officer_pin(pin_file: Path) -> Path:
    """Where the security officer's PIN of a rehearsal's token lies, beside its user's."""
    return pin_file.with_name(f"{pin_file.name}.so")


def _make_token(label: str, pin_file: Path) -> None:
    """A new token; its PINs go to the tool over a terminal and so stay out of every list of processes."""
    pin, officer_pin = secrets.token_hex(16), secrets.token_hex(16)
    for path, secret in ((_officer_pin(pin_file), officer_pin), (pin_file, pin)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
    ours, theirs = os.openpty()
    try:
        answers = f"{officer_pin}\n{officer_pin}\n{pin}\n{pin}\n".encode()
        os.write(ours, answers)
        command = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run(command, stdin=theirs, capture_output=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise CaError(Kind.UNAVAILABLE, f"softhsm2-util cannot make token {label}") from error
    finally:
        os.close(ours)
        os.close(theirs)
