"""Export: files go to write-once media, and are read again from there before anybody carries them away."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ca_server.core.errors import CaError, Kind, refuse
from ceremony.display import counted
from ceremony.folder import TRANSCRIPT, open_below, place_below
from ceremony.state import digests
from ceremony.steps.verb import Done, Effect, Verb
from ceremony.tables import BundlePath

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

_PAPERS = ("script.toml", "roster.json", "allowed-signers")


class ExportMedia(Verb):
    """Copy files of the bundle to as many media as `copies` says, with all that shows who approved them.

    That is the script, the roster, its allowed-signers, the signed statements, and the transcript so far.
    """

    effect = Effect.IDEMPOTENT
    do: Literal["media.export"]
    files: Annotated[tuple[BundlePath, ...], Field(strict=False, max_length=64)] = ()
    copies: Annotated[int, Field(ge=1, le=8)] = 2

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        what = f"{counted(len(self.files), 'file')} and all signatures"
        return f"copy {what} to {self.copies} media, and read them again"

    def perform(self, room: Room) -> Done:
        """Copy, force to the medium, read again, compare.

        Raises:
            CaError: unavailable, `CEREMONY-MEDIA`, a medium is away, full, or gives back something else.
        """
        media = room.host.media[: self.copies]
        if len(media) < self.copies:
            detail = f"the host file names {len(media)} media where the script wants {self.copies}"
            raise refuse(Kind.UNAVAILABLE, "CEREMONY-MEDIA", detail)
        signed = [name for name in digests(room.lines) if name.startswith("gates/")]
        names = (*self.files, *_PAPERS, *signed, TRANSCRIPT)
        contents = {name: room.read(name) for name in names}
        for medium in media:
            device = _identity(medium, room.mode)
            for name, data in contents.items():
                _copy(medium, f"{room.script.id}/{self.id}/{name}", data)
            if _identity(medium, room.mode) != device:
                detail = f"the medium {medium} was pulled out meanwhile; put it back"
                raise refuse(Kind.UNAVAILABLE, "CEREMONY-MEDIA", detail)
        copied = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        return Done(
            f"{counted(len(contents), 'file')} on {len(media)} media",
            {"copies": self.copies, "copied": copied},
        )


def _identity(medium: Path, mode: str) -> tuple[int, int]:
    """Which device and folder a medium is; one that is away must not become a folder of our own disk."""
    try:
        status = medium.stat()
        there = stat.S_ISDIR(status.st_mode) and (mode == "rehearsal" or medium.is_mount())
    except OSError:
        there = False
    if not there:
        raise refuse(Kind.UNAVAILABLE, "CEREMONY-MEDIA", f"there is no medium at {medium}; put it in")
    return status.st_dev, status.st_ino


def _copy(medium: Path, name: str, data: bytes) -> None:
    try:
        place_below(medium, name, data)
        same = _read_again(medium, name, len(data)) == data
    except (CaError, OSError) as error:
        detail = f"the medium {medium} did not take {name}: it is out, full or broken; put in another one"
        raise refuse(Kind.UNAVAILABLE, "CEREMONY-MEDIA", detail) from error
    if not same:
        detail = f"{medium} gives back another {name} than it was given"
        raise refuse(Kind.UNAVAILABLE, "CEREMONY-MEDIA", detail)


def _read_again(medium: Path, name: str, size: int) -> bytes:
    """From the medium, and not from what the system remembers of the writing."""
    with os.fdopen(open_below(medium, name, os.O_RDONLY), "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read(size + 1)
