"""kill -9 at every step of issuance, before and after; see `tests.fakes.crash_matrix`."""

from __future__ import annotations

import sys

from tests.fixtures.commands import run


def test_every_kill_is_survived(appliance):
    done = run(sys.executable, "-m", "tests.fakes.crash_matrix", str(appliance.config_file), timeout=600)
    kills = done.stdout.count("killed ")
    assert f"{kills} kills survived" in done.stdout
    assert kills >= 20
