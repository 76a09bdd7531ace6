"""kill -9 at every commit and signature of an ACME enrolment; see `tests.fakes.acme_crash_matrix`."""

from __future__ import annotations

import sys

from tests.fixtures.commands import run


def test_every_kill_of_an_enrolment_is_survived(appliance):
    arguments = ["-m", "tests.fakes.acme_crash_matrix", str(appliance.config_file)]
    done = run(sys.executable, *arguments, timeout=300)
    kills = done.stdout.count("killed ")
    assert f"{kills} kills survived" in done.stdout
    assert kills >= 12
