"""kill -9 at every commit and signature on the way of an approved request; see the matrix itself."""

from __future__ import annotations

import sys

from tests.fixtures.commands import run


def test_every_kill_on_the_way_of_an_approved_request_is_survived(appliance):
    matrix = "tests.fakes.approval_crash_matrix"
    done = run(sys.executable, "-m", matrix, str(appliance.config_file), timeout=600)
    kills = done.stdout.count("killed ")
    assert f"{kills} kills survived" in done.stdout
    assert kills >= 12
