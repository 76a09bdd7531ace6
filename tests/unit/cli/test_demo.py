"""Two demos never share a folder."""

from __future__ import annotations

import fcntl

from tests.fixtures.commands import sealkeeper


def test_a_second_demo_in_a_folder_is_refused_and_changes_nothing(tmp_path):
    with (tmp_path / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = sealkeeper("demo", "--dir", str(tmp_path), "--exit-after-smoke", check=False)
    assert done.returncode == 1
    assert "a demo runs in" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
