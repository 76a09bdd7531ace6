"""Validating processes that are killed in the middle, and that are asked to stop (issue 3, must show 2)."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from ca_server.core.acme.challenges import txt_value
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.clock import to_epoch
from ca_server.services.acme.authorizations import find_authorization, respond
from ca_server.store import acme_tables, tables
from tests import world
from tests.fixtures.ordering import URL

NAMES = [f"host{number}.example.com" for number in range(8)]


class Crew:
    """Processes over one database, each with two threads."""

    def __init__(self, url: str, zone, start: int) -> None:
        self._arguments = [url, zone.place, str(start)]
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        node = f"node-{len(self.processes)}"
        command = [sys.executable, "-m", "tests.fakes.validating_process", *self._arguments, node]
        self.processes.append(subprocess.Popen(command))
        return self.processes[-1]

    def stop(self) -> None:
        for each in self.processes:
            each.kill()
            each.wait()


@pytest.fixture
def crew(database_url, zone, ordering):
    found = Crew(database_url, zone, to_epoch(ordering.issuing.clock.now()))
    yield found
    found.stop()


def wait_until(condition, seconds=60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@pytest.fixture
def waiting(ordering, zone):
    """An order with eight names, each with a challenge that will be fulfilled, slowly."""
    account = ordering.account()
    order = ordering.order(account, *NAMES)
    for each in ordering.authorizations(account, order):
        challenge = next(one for one in each.challenges if one.type is ChallengeType.DNS_01)
        zone.add(
            f"_acme-challenge.{each.identifier.value}", "TXT", txt_value(challenge.token, account.thumbprint)
        )
        respond(ordering.issuing.context, account, challenge.id, f"{URL}{account.id}")

    def slowly(response, _tcp):
        time.sleep(0.2)
        return response

    zone.hook = slowly
    return account, order


@pytest.mark.slow
def test_kill_9_in_the_middle_loses_no_order_and_repeats_no_outcome(crew, ordering, zone, waiting):
    account, order = waiting
    context = ordering.issuing.context
    for _ in range(3):
        questions = len(zone.questions)
        victim = crew.start()
        wait_until(lambda before=questions: len(zone.questions) > before)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    crew.start()
    crew.start()

    def all_valid() -> bool:
        found = [find_authorization(context, account, each) for each in order.authorization_ids]
        return {each.status.value for each in found} == {"valid"}

    wait_until(all_valid)
    with context.database.read() as connection:
        attempts = connection.execute(acme_tables.acme_validation.select()).all()
        left = connection.execute(tables.due_work.select()).all()
    assert Counter((row.identifier, row.outcome) for row in attempts) == {
        (f"dns:{name}", "success"): 1 for name in NAMES
    }
    assert left == []
    world.check(context.database)


@pytest.mark.usefixtures("waiting")
def test_sigterm_lets_the_challenge_at_hand_be_finished(crew, ordering, zone):
    process = crew.start()
    wait_until(lambda: zone.questions)
    process.terminate()
    assert process.wait(20) == 0
    with contextlib.closing(ordering.issuing.context.database.engine.connect()) as connection:
        leases = connection.execute(tables.due_work.select()).all()
        attempts = connection.execute(acme_tables.acme_validation.select()).all()
    assert [row.subject for row in leases if row.lease_owner is not None] == []
    assert 1 <= len(attempts) < len(NAMES)
