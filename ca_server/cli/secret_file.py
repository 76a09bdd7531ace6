"""Where a command puts a secret that is shown once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ca_server.core.errors import CaError, Kind


@contextmanager
def secret_file(out: Path | None) -> Iterator[IO[str] | None]:
    """A new file for the owner alone, open before there is a secret, and gone if anything fails.

    None is standard output.

    Raises:
        CaError: conflict, the file is there already.
    """
    if out is None:
        yield None
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise CaError(Kind.CONFLICT, f"{out} is there already") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            yield file
    except BaseException:
        out.unlink()
        raise
