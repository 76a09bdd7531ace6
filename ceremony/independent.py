"""The auditor's verifier, run as the stranger that it is: a program that shares no code with this one."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

NAME = "verify_ceremony.py"
CANNOT_TELL = 2
_SECONDS = 900


def verifier_path() -> Path:
    """Where the verifier lies: inside the wheel, or in `ops/auditor/` of a checkout."""
    room = Path(str(files("ceremony")))
    installed = room / "auditor" / NAME
    return installed if installed.is_file() else room.parent / "ops" / "auditor" / NAME


def run_independent(path: Path, sha256: str | None, roster_sha256: str | None = None) -> tuple[int, str]:
    """What the verifier says of a bundle: its exit code (0 good, 1 bad, 2 cannot tell) and its lines.

    `sha256` and `roster_sha256` are what these digests must be, where they are known. The child sees neither
    this program's packages nor its environment's Python settings (`python -I`). Whatever keeps it from an
    answer is a 2.
    """
    command = [sys.executable, "-I", str(verifier_path()), str(path.absolute())]
    command += [f"--sha256={sha256}"] if sha256 is not None else []
    command += [f"--roster-sha256={roster_sha256}"] if roster_sha256 is not None else []
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return CANNOT_TELL, f"?   the auditor's verifier did not answer: {type(error).__name__}\n"
    code = run.returncode if run.returncode in {0, 1} and run.stdout else CANNOT_TELL
    return code, run.stdout or "?   the auditor's verifier did not run\n"
