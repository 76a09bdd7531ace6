"""Commands load when they are called: what a tier does not have is told in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The command line on a machine that lacks one library.
SCRIPT = """
import sys
sys.modules[{library!r}] = None
sys.argv = ["sealkeeper", *{arguments!r}]
from ca_server.cli import main
main()
"""


def run_without(library, *arguments):
    script = SCRIPT.format(library=library, arguments=arguments)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("library", "arguments"),
    [("structlog", ["serve"]), ("gunicorn", ["ocsp", "serve"])],
)
def test_a_command_of_another_tier_says_what_is_missing(library, arguments):
    run = run_without(library, *arguments)
    assert run.returncode == 1
    assert f"needs {library}, which is not installed on this machine" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("library", ["structlog", "sqlalchemy", "flask", "gunicorn"])
def test_a_ceremony_machine_has_its_commands(library):
    run = run_without(library, "ceremony", "script")
    assert run.returncode == 0
    assert run.stdout.startswith("# A whole first hierarchy")
    assert run_without(library, "--help").returncode == 0
