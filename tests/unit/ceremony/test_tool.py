"""The digest of the program, which a person can make with stock tools over the same files."""

from __future__ import annotations

import re
import subprocess

from ca_server import __version__
from ceremony.tool import tool_sha256, tool_version
from tests.architecture.tree import ROOT

BY_HAND = (
    "find ceremony ca_server/core ca_server/hsm -name '*.py' -o -name '*.toml'"
    " | LC_ALL=C sort | xargs sha256sum | sha256sum"
)


def test_the_digest_is_that_of_stock_tools():
    done = subprocess.run(["sh", "-c", BY_HAND], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[0-9a-f]{64}", tool_sha256())
    assert done.stdout.split()[0] == tool_sha256()


def test_the_version_is_that_of_the_wheel():
    assert tool_version() == __version__
