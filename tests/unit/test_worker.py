"""The worker survives a job that fails, and ends in its own way when a token may have signed."""

from __future__ import annotations

import os
import signal

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.hsm.port import SignatureUnknown
from ca_server.worker import Job, Worker


@pytest.fixture(autouse=True)
def signals():
    """The worker takes the signals of the process that it runs in."""
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def lost():
    raise SignatureUnknown("token issuing: the answer was lost")


@pytest.mark.parametrize("failure", [None, CaError(Kind.UNAVAILABLE, "no logout"), OSError("gone")])
def test_an_unknown_signature_ends_the_process_with_a_word_and_its_own_status(logged, failure):
    closed = []

    def close():
        closed.append(True)
        if failure:
            raise failure

    with pytest.raises(SystemExit) as caught:
        Worker([Job("crl", 1, lost)], close).run()
    assert caught.value.code == 70
    assert closed == [True]
    first = logged()[0]
    assert (first["event.action"], first["log.level"]) == ("process.ends", "critical")
    assert first["event.reason"] == "token issuing: the answer was lost"
    assert [line["event.action"] for line in logged()[1:]] == (["worker.not_closed"] if failure else [])


def test_a_job_that_fails_is_told_and_the_others_go_on_until_sigterm(logged):
    done = []

    def fail():
        raise CaError(Kind.UNAVAILABLE, "the database is away")

    def stop():
        done.append("stop")
        os.kill(os.getpid(), signal.SIGTERM)

    Worker([Job("fails", 60, fail), Job("stops", 60, stop)], lambda: done.append("closed")).run()
    assert done == ["stop", "closed"]
    assert [line["event.action"] for line in logged()] == ["job.failed"]
