"""Holds one rehearsal in this process and says where its seconds went: ceremony_probe SCRIPT FOLDER OUT.

The doors through which a ceremony waits for others are timed from here; the product knows nothing of it. OUT
gets, as JSON, calls and seconds of each door. What one door does behind another counts at both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ca_server.cli import command
from ca_server.hsm import pkcs11
from ceremony import dry_run, event
from ceremony.steps.lint import Lint

calls: dict[str, list[float]] = {}


def timed(door: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with each call's seconds written down under the door's name."""

    def call(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            calls.setdefault(door, []).append(time.perf_counter() - started)

    return call


def door_of(arguments: list[str]) -> str:
    """A program that is run, by what it is asked to do."""
    name = Path(arguments[0]).name
    return f"{name} {' '.join(arguments[1:4])}" if name == "ssh-keygen" else name


def run(arguments: list[str], **options: Any) -> Any:
    """`subprocess.run`, under the name of the program."""
    return timed(door_of(arguments), run_program)(arguments, **options)


script, folder, out = sys.argv[1:]
run_program, subprocess.run = subprocess.run, run
os.fsync = timed("fsync", os.fsync)
pkcs11.objects.sign = timed("signature of a token", pkcs11.objects.sign)
pkcs11.objects.generate = timed("key generation of a token", pkcs11.objects.generate)
event.try_in_memory = timed("the script tried in memory", dry_run.try_in_memory)
Lint.perform = timed("lints", Lint.perform)
started = time.perf_counter()
command(["ceremony", "rehearse", script, "--directory", folder], standalone_mode=False)
calls["whole"] = [time.perf_counter() - started]
Path(out).write_text(json.dumps({door: [len(each), sum(each)] for door, each in calls.items()}))
