"""Runs `sealkeeper enroll` and is killed, by a signal that nothing can catch, at its Nth step.

    python -m tests.fakes.enrolling_process

reads lines of JSON, {"kill": N or 0, "arguments": [...]}, runs each in a child of its own, and answers with a
line of JSON, {"status": exit status or minus the signal}. A step is whatever moves something on the disk or
talks to the server; it is killed before it, and after the one that has the server's answer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

import ca_server.cli.enroll
from ca_server.cli import main

STEPS: list[tuple[Any, str]] = [
    (os, "fsync"),
    (os, "mkdir"),
    (os, "rename"),
    (os, "replace"),
    (os, "symlink"),
    (shutil, "rmtree"),
    (http.client.HTTPSConnection, "request"),
    (http.client.HTTPSConnection, "getresponse"),
]


def kill_at(wanted: int) -> None:
    passed = 0

    def tick() -> None:
        nonlocal passed
        passed += 1
        if passed == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **keywords: Any) -> Any:
            tick()
            result = function(*arguments, **keywords)
            if function.__name__ == "getresponse":
                tick()
            return result

        return step

    for place, name in STEPS:
        setattr(place, name, wrapped(getattr(place, name)))


def run(order: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            sys.argv = ["sealkeeper", "enroll", *order["arguments"]]
            os.dup2(2, 1)
            status = 0
            if order["kill"]:
                kill_at(order["kill"])
            try:
                main()
            except SystemExit as ended:
                status = int(ended.code or 0)
            os._exit(status)
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    assert ca_server.cli.enroll.command
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"status": run(json.loads(line))}) + "\n")
        sys.stdout.flush()
