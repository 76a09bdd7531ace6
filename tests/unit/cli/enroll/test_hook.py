"""A hook is a program with arguments: no shell, no input, not for ever."""

from __future__ import annotations

import time

import pytest

from ca_server.cli.enroll.hook import parse_hook, run_hook
from ca_server.core.errors import CaError


def test_words_are_split_and_nothing_is_interpreted(tmp_path):
    made = tmp_path / "a; rm -r $HOME `id` *"
    run_hook(f"touch '{made}'")
    assert [each.name for each in tmp_path.iterdir()] == [made.name]


@pytest.mark.parametrize("text", ["", "   ", "echo 'open"])
def test_what_names_no_program_is_refused(text):
    with pytest.raises(CaError, match="the hook"):
        parse_hook(text)


def test_it_gets_no_input():
    run_hook("sh -c 'test -z \"$(cat)\"'")


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("false", "ended with status 1"),
        ("/nonexistent/program", "cannot be started: No such file or directory"),
        ("sh -c 'kill -TERM $$'", "ended with status -15"),
    ],
)
def test_a_failure_says_what_to_do(text, how):
    with pytest.raises(CaError) as failed:
        run_hook(text)
    assert how in failed.value.detail
    assert "run this command again" in failed.value.detail


def test_one_that_does_not_end_is_killed_with_its_children(tmp_path):
    late = tmp_path / "late"
    with pytest.raises(CaError, match=r"killed after 0\.2 seconds"):
        run_hook(f"sh -c '(sleep 1; touch {late}) & sleep 60'", seconds=0.2)
    time.sleep(1.2)
    assert not late.exists()
