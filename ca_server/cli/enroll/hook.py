"""Runs the command that tells a service of its new certificate: no shell, no input, and not for ever."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess

from ca_server.core.errors import CaError, Kind

SECONDS = 300


def parse_hook(text: str) -> list[str]:
    """The hook's program and arguments, split as a shell would; nothing else of a shell is done.

    Raises:
        CaError: malformed, quotes are left open or there is no program.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CaError(Kind.MALFORMED, f"the hook {text!r} cannot be split: {error}") from error
    if not words:
        raise CaError(Kind.MALFORMED, "the hook names no program")
    return words


def run_hook(text: str, *, seconds: float = SECONDS) -> None:
    """Run the hook to its end; what it prints goes where this command's own words go.

    Raises:
        CaError: internal; it cannot be started, failed, or took too long and was killed with its children.
    """
    try:
        process = subprocess.Popen(parse_hook(text), stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        raise _failed(text, f"cannot be started: {error.strerror}") from error
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise _failed(text, f"was killed after {seconds} seconds") from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status:
        raise _failed(text, f"ended with status {status}")


def _failed(text: str, how: str) -> CaError:
    return CaError(
        Kind.INTERNAL,
        f"the hook {text!r} {how}. The new certificate is in place, and the pair before it is kept;"
        " the next run tries the hook again: mend what it says and run this command again",
    )
