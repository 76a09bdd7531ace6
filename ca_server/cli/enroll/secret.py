"""Reads an enrolment secret from the file that `sealkeeper est secret create --out` wrote."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ca_server.core.errors import CaError, Kind

MAX_BYTES = 1024


def read_secret(path: Path, say: Callable[[str], None]) -> tuple[str, str]:
    """User name and password: `NAME:PASSWORD` on one line; `say` hears of a file that others can read.

    Raises:
        CaError: not_found or malformed; the content is never shown.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
            is_open = bool(os.fstat(file.fileno()).st_mode & 0o077)
    except OSError as error:
        raise CaError(
            Kind.NOT_FOUND,
            f"the enrolment secret cannot be read from {path}: {error.strerror}."
            " Give the file of a new one by --secret-file",
        ) from error
    username, colon, password = data.decode("ascii", "replace").strip().partition(":")
    good = colon and username and password and (username + password).isprintable() and " " not in password
    if not good or len(data) > MAX_BYTES:
        raise CaError(Kind.MALFORMED, f"{path} holds no enrolment secret: one line, NAME:PASSWORD")
    if is_open:
        say(f"warning: other users can read the secret in {path}: chmod 600 {path}")
    return username, password
