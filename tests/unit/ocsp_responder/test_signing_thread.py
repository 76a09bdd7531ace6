"""One thread for the token, and nobody who waits for it for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ca_server.hsm.port import HsmUnavailable, SignatureUnknown
from ocsp_responder.signing_thread import SigningThread
from tests.fakes.responder import ResponderBench


@pytest.fixture
def never():
    """An event that is set when the test is over, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


def test_whoever_asks_one_thread_signs():
    thread = SigningThread()
    with ThreadPoolExecutor(8) as clients:
        threads = {
            each.result() for each in [clients.submit(thread.call, threading.get_ident) for _ in range(64)]
        }
    thread.close()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_issuers_key_is_used_by_that_thread_alone():
    bench = ResponderBench()
    thread = SigningThread()
    used = []
    issuer = thread.take(replace(bench.issuer, check=lambda: used.append(threading.get_ident())))
    issuer.check()
    assert used == [thread.call(threading.get_ident)]
    bench.issuer = issuer
    bench.responder = bench.make_responder()
    bench.source.issue(1)
    assert bench.status(1) == "GOOD"
    thread.close()


def test_errors_come_through():
    thread = SigningThread()
    bench = ResponderBench()
    bench.key.unplug()
    with pytest.raises(HsmUnavailable, match="away"):
        thread.take(bench.issuer).check()
    thread.close()


def test_a_token_that_hangs_ends_the_process_and_those_behind_it_try_later(never):
    thread = SigningThread(queue_seconds=0.05, call_seconds=0.3)
    began = threading.Event()

    def hang() -> None:
        began.set()
        never.wait()

    with ThreadPoolExecutor(1) as client:
        first = client.submit(thread.call, hang)
        assert began.wait(5)
        with pytest.raises(HsmUnavailable, match="too many"):
            thread.call(threading.get_ident)
        with pytest.raises(SignatureUnknown):
            first.result()
    never.set()
    thread.close()
