"""`ceremony --help` answers at once: it loads nothing that a ceremony itself needs."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.tree import ROOT

HEAVY = (
    "rich",
    "segno",
    "pydantic",
    "cryptography",
    "pkcs11",
    "pkilint",
    "asn1crypto",
    "shamir_mnemonic",
    "jinja2",
)
SCRIPT = f"""
import sys
from ca_server.cli import command
command(["ceremony", "--help"], standalone_mode=False)
sys.exit(" ".join(name for name in {HEAVY!r} if name in sys.modules))
"""


def test_help_loads_no_heavy_library():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Run, rehearse, resume and verify key ceremonies." in run.stdout
    assert run.stderr.strip() == ""
