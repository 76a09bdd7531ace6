"""The transcript as it is written: a line is on the disk before what it announces is done."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ca_server.core.ceremony.transcript import (
    NO_STEP,
    Event,
    Line,
    make_line,
    parse_line,
    parse_transcript,
    whole_lines,
)
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.clock import RoomClock
from ceremony.folder import make_folder, open_below, sync_folder

ENGINE = "engine"
_LIMIT = 64 * 1024 * 1024


class Journal:
    """Appends to one transcript; no second process can hold the same one open."""

    def __init__(self, path: Path, clock: RoomClock) -> None:
        """Open or begin the transcript at `path`, and drop what a power cut left of a last line.

        Raises:
            CaError: conflict, `CEREMONY-RUNNING`, another process holds it; unavailable, it cannot be
                written; malformed, it is not a transcript; `CEREMONY-FILE-CHANGED`, a link is there.
        """
        self._clock = clock
        try:
            make_folder(path.parent.parent)
            name = f"{path.parent.name}/{path.name}"
            self._descriptor = open_below(path.parent.parent, name, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(os.dup(self._descriptor), "rb") as file:
                data = whole_lines(file.read(_LIMIT + 1))
            os.ftruncate(self._descriptor, len(data))
            os.lseek(self._descriptor, 0, os.SEEK_END)
            sync_folder(path.parent)
        except BlockingIOError as error:
            detail = "another process is at this ceremony; it is the one to go on with"
            raise refuse(Kind.CONFLICT, "CEREMONY-RUNNING", detail) from error
        except OSError as error:
            raise _not_written(error) from error
        self.lines: list[Line] = list(parse_transcript(data)) if data else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def head(self) -> Line:
        """The last line."""
        return self.lines[-1]

    def add(self, event: Event, data: Mapping[str, Any], *, step: str = NO_STEP, actor: str = ENGINE) -> Line:
        """Append a line; it is on the disk when this returns.

        Raises:
            CaError: integrity, `CEREMONY-CLOCK`, the clock went back; unavailable, the disk does not take it.
        """
        now = self._clock.now()
        if self.lines and now < self.head.utc:
            if event is not Event.STOPPED:
                detail = f"the clock went back: it was {self.head.utc} before, and is {now} now"
                raise refuse(Kind.CONFLICT, "CEREMONY-CLOCK", detail)
            now = self.head.utc
        # Nobody signs the last line, so it says nothing of its own but the outcome.
        repeats = event is Event.END
        mono_ms = self._clock.mono_ms()
        if self.lines and event is not Event.RESUME:
            # Another machine start counts from zero again, and only a resumption may be seen to.
            mono_ms = max(mono_ms, self.head.mono_ms)
        line = make_line(
            seq=len(self.lines),
            prev=self.head.digest if self.lines else data["script_sha256"],
            utc=self.head.utc if repeats else now,
            mono_ms=self.head.mono_ms if repeats else mono_ms,
            step=step,
            event=event,
            actor=actor,
            data=data,
        )
        self._write(line)
        self.lines.append(parse_line(line.removesuffix(b"\n")))
        return self.head

    def _write(self, line: bytes) -> None:
        """A line that the disk did not take is taken off again, so that the next one follows a whole one."""
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, end)
            raise _not_written(error) from error


def _not_written(error: OSError) -> CaError:
    return refuse(Kind.UNAVAILABLE, "CEREMONY-DISK", f"the transcript cannot be written: {error.strerror}")
