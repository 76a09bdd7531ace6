"""A room to rehearse in: SoftHSM tokens of its own, random PINs in files, and a host file that binds them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.host import Host, check_host, parse_host
from ceremony.script import Script

_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)
_SECONDS = 30


def prepare(script: Script, directory: Path) -> Host:
    """Make `directory` with everything that a rehearsal of the script needs, and point SoftHSM at it.

    In it afterwards: `softhsm2.conf`, `tokens/`, `pins/ALIAS`, `host.toml`; the ceremony adds `bundle.tar`
    and `api-server.key`. `SOFTHSM2_CONF` of this process is set.

    Raises:
        CaError: conflict, `CEREMONY-DIRECTORY`; unavailable, SoftHSM is not there or does not work.
    """
    directory = directory.absolute()
    module = next((path for path in _MODULES if path.exists()), None)
    if module is None:
        raise CaError(Kind.UNAVAILABLE, "SoftHSM is not installed: apt-get install softhsm2")
    text = _host_file(script, directory, module)
    host = parse_host(text.encode())
    check_host(script, host)
    _make_directory(directory)
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    (directory / "host.toml").write_text(text)
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    for alias in script.tokens:
        _make_token(host.tokens[alias].label, directory / "pins" / alias)
    return host


def _host_file(script: Script, directory: Path, module: Path) -> str:
    lines = [
        'format = "ceremony-host/v1"',
        'mode = "rehearsal"',
        f"output_directory = {_quoted(directory)}",
        f"api_server_key = {_quoted(directory / 'api-server.key')}",
    ]
    for alias in script.tokens:
        lines += [
            "",
            f"[tokens.{alias}]",
            f"module = {_quoted(module)}",
            f"label = {_quoted(REHEARSAL_PREFIX + alias)}",
            f"pin_file = {_quoted(directory / 'pins' / alias)}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(value: str | Path) -> str:
    """A TOML basic string; JSON writes the same, but for signs that the host file's parser refuses anyway."""
    return json.dumps(str(value), ensure_ascii=False)


def _make_directory(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise refuse(
            Kind.CONFLICT,
            "CEREMONY-DIRECTORY",
            f"{directory} is not empty; rehearse in a new folder, or remove this one first",
        )
    for folder in (directory, directory / "tokens", directory / "pins"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _make_token(label: str, pin_file: Path) -> None:
    """A new token; its PINs go to the tool over a terminal and so stay out of every list of processes."""
    pin, officer_pin = secrets.token_hex(16), secrets.token_hex(16)
    descriptor = os.open(pin_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(pin + "\n")
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
