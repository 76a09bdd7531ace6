"""Holds ceremonies that are killed at a line of their transcript, and resumes or aborts each: `test_kill`.

Its own process, because PKCS#11 modules do not survive a fork: everything is imported here once, and each
ceremony runs in a child that has not loaded the module yet. Prints one JSON object a case.

    python -m tests.integration.ceremony.killing BUNDLES [NAME=FILE ...]
    with lines SCRIPT DIRECTORY ROOM LINE before|after resume|abort on standard input
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from ca_server.core.errors import CaError
from ceremony import event
from ceremony.clock import SystemClock
from ceremony.dry_run import try_in_memory
from ceremony.journal import Journal
from ceremony.plan import make_plan
from ceremony.rehearsal import prepare

NOT_KILLED, REFUSED = 0, 3


def main() -> None:
    load_everything()
    inputs = {name: Path(path) for name, _, path in (each.partition("=") for each in sys.argv[1:])}
    for line in sys.stdin:
        script, directory, room, number, when, then = line.split()
        case = Case(Path(script), Path(directory), Path(room), inputs)
        print(json.dumps(case.run(int(number), after=when == "after", abort=then == "abort")), flush=True)


def load_everything() -> None:
    """A ceremony loads its lints when it comes to them; once it is done here, no child has to."""
    ready = files("ceremony") / "scripts" / "root-generate.toml"
    assert try_in_memory(make_plan(ready.read_bytes()), "rehearsal", SystemClock())


class Case:
    """One ceremony on tokens that are put back as they were before it."""

    def __init__(self, script: Path, directory: Path, room: Path, inputs: dict[str, Path]) -> None:
        self.plan = make_plan(script.read_bytes())
        self.directory, self.room, self.inputs = directory, room, inputs

    def run(self, number: int, *, after: bool, abort: bool) -> dict[str, object]:
        """`number` 0 kills nothing."""
        tokens, kept = self.room / "tokens", self.room / "tokens.kept"
        if kept.exists():
            shutil.rmtree(tokens)
            shutil.copytree(kept, tokens)
        shutil.rmtree(self.directory, ignore_errors=True)
        first = in_child(lambda: self._begin(number, after=after))
        second = None if os.WIFEXITED(first) else in_child(self._end if abort else self._go_on)
        return {
            "line": number,
            "after": after,
            "killed": os.WIFSIGNALED(first) and os.WTERMSIG(first) == signal.SIGKILL,
            "first": first,
            "resumed": second,
        }

    def _go_on(self) -> None:
        event.go_on(self.directory)

    def _end(self) -> None:
        event.end(self.directory, "killed")

    def _begin(self, number: int, *, after: bool) -> None:
        kill_at(number, self.directory / "files/transcript.jsonl", after=after)
        now = SystemClock().now()
        host = prepare(self.plan.script, self.directory, room=self.room, inputs=self.inputs, now=now)
        event.begin(self.plan, host)


def kill_at(number: int, transcript: Path, *, after: bool) -> None:
    """Have this process killed when the line of this number, from 1, is written: before it is, or after.

    Lines of the dry run that comes before the ceremony go to another transcript and do not count.
    """
    write, count = Journal._write, 0

    def counted(self: Journal, line: bytes) -> None:
        nonlocal count
        count += transcript.exists()
        if count == number > 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, line)
        if count == number > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal._write = counted


def in_child(work: Callable[[], object]) -> int:
    """The status with which a child ends that does this; what it prints is thrown away."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    with contextlib.suppress(BaseException), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            work()
        except CaError:
            os._exit(REFUSED)
        os._exit(NOT_KILLED)
    os._exit(1)


if __name__ == "__main__":
    main()
