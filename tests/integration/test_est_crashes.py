"""kill -9 at every commit and signature of a device that enrols and renews; see `est_crash_matrix`."""

from __future__ import annotations

import sys

from tests.fixtures.commands import run


def test_every_kill_of_an_enrolment_over_est_is_survived(appliance):
    arguments = ["-m", "tests.fakes.est_crash_matrix", str(appliance.config_file)]
    done = run(sys.executable, *arguments, timeout=300)
    kills = done.stdout.count("killed ")
    assert f"{kills} kills survived" in done.stdout
    assert kills >= 12
