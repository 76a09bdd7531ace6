"""The worker's validating threads: busy while there is work, patient without, hard to kill, easy to stop."""

from __future__ import annotations

import itertools
import threading
import time

from ca_server.core.errors import CaError, Kind
from ca_server.validation import ValidationThreads


def run(validate_once, count, until) -> ValidationThreads:
    threads = ValidationThreads(validate_once, count)
    threads.start()
    deadline = time.monotonic() + 20
    while not until() and time.monotonic() < deadline:
        time.sleep(0.01)
    threads.stop()
    return threads


def test_work_is_done_without_a_pause_by_several_at_once():
    together = threading.Barrier(4)
    begun, done = set(), []

    def work() -> bool:
        if threading.get_ident() not in begun:
            begun.add(threading.get_ident())
            together.wait(20)
        done.append(1)
        return True

    run(work, 4, lambda: len(done) >= 1000)
    assert len(done) >= 1000


def test_with_nothing_to_do_the_database_is_left_alone_for_a_while():
    looks = []

    def look() -> bool:
        looks.append(time.monotonic())
        return False

    run(look, 1, lambda: len(looks) >= 4)
    pauses = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert all(pause >= 0.09 for pause in pauses)
    assert pauses[2] >= 0.29


def test_whatever_is_raised_the_thread_goes_on(logged):
    failures = [CaError(Kind.UNAVAILABLE, "the database is away"), RuntimeError("a bug")]
    done = []

    def fail() -> bool:
        if failures:
            raise failures.pop(0)
        done.append(1)
        return False

    run(fail, 1, lambda: done)
    assert done
    assert [line["event.action"] for line in logged()] == ["validation.postponed", "validation.bug"]


def test_stopping_waits_for_what_is_at_hand_and_not_for_a_pause():
    begun, ended = threading.Event(), threading.Event()

    def slow() -> bool:
        begun.set()
        time.sleep(0.3)
        ended.set()
        return True

    run(slow, 1, begun.is_set)
    assert ended.is_set()


def test_without_acme_there_is_nothing_to_stop():
    run(lambda: False, 0, lambda: True)
