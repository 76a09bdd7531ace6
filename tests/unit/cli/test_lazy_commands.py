"""Commands load when they are called: what a tier does not have is told in one line."""

from __future__ import annotations

import subprocess
import sys

import click
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


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["token", "list"], ["SEALKEEPER_CONFIG"]),
        (["certificate", "list"], ["SEALKEEPER_URL", "SEALKEEPER_ROOT", "SEALKEEPER_TOKEN_FILE"]),
    ],
)
def test_help_shows_what_the_environment_may_say(arguments, names):
    shown = run_without("nothing", *arguments, "--help").stdout
    assert [name for name in names if name not in shown] == []


# A command that ends in the error that is written here.
FAILING = """
import sys
from ca_server import cli
from ca_server.core.errors import CaError, Kind
@cli.command.result_callback()
def fail(_):
    raise {error}
cli.COMMANDS["ceremony"] = ("tests.unit.cli.test_lazy_commands:nothing", "")
sys.argv = ["sealkeeper", "ceremony"]
cli.main()
"""


@click.command()
def nothing():
    """Do nothing."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("CaError(Kind.NOT_READY, 'too early')", 5, "sealkeeper: too early\n"),
        ("CaError(Kind.UNAVAILABLE, 'away')", 5, "sealkeeper: away\n"),
        ("CaError(Kind.NOT_FOUND, 'not there')", 1, "sealkeeper: not there\n"),
        ("OSError(28, 'No space left on device', '/a')", 1, "sealkeeper: /a: No space left on device\n"),
        ("OSError('odd')", 1, "sealkeeper: odd\n"),
    ],
)
def test_what_fails_is_one_line_and_an_exit_code(error, code, said):
    script = FAILING.format(error=error)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", said)
