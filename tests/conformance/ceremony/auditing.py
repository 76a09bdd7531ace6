"""The auditor's verifier for tests: its checks by name, and what it says of a bundle."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

VERIFIER = Path(__file__).parents[3] / "ops/auditor/verify_ceremony.py"

SIGNED_BY_PEOPLE = "the signatures of the people are theirs"
QUORUMS = "quorums of distinct persons"
CHAIN = "every line of the transcript names the one before it, and no clock goes back"
GRAMMAR = "the transcript tells a ceremony from its opening to its end"
LIMITS = "limits and devices are those of the script"
KEYS = "keys were made in tokens and could never leave them"
PERSONS = "persons keep to their roles"
PRODUCTS = "certificates, CRLs and CSRs come from these signatures"
CHAINED = "certificates chain to a root"
MANIFEST = "the manifest names what was made"
DEVICES = "devices hold what the script lets them hold"
MODE = "rehearsal and production are kept apart"
ARCHIVE = "the archive is in its one spelling"
STATEMENTS = "statements say what the transcript says, each once"
CLOSE = "the close covers everything and everyone signed it"
APPROVED = "the HSM signed exactly what was approved"


def run(path, *options, python=sys.executable, **environment):
    command = [python, "-I", str(VERIFIER), str(path), *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def accused(found, check, words):
    return any(each == check and re.search(words, detail) for each, detail in found)
