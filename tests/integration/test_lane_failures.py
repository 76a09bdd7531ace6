"""What the lane does when the key, the database or its own code fails at the worst moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.hsm.port import HsmRefused, HsmUnavailable, SignatureUnknown
from ca_server.services.lane import Lane, LaneSettings
from ca_server.services.outcome import Outcomes
from tests import world
from tests.fakes.awkward import AwkwardOutcomes, AwkwardSource
from tests.integration.test_issue import csr_for, left_behind, request_for
from tests.integration.test_issue import issuance as issuance  # noqa: PLC0414 - a fixture


class Died(list):
    """Why the process would have ended."""


@pytest.fixture
def awkward(issuance):
    """A lane of its own beside the real one, whose signer and database fail when told to."""
    issuance.lane.stop()
    source = AwkwardSource(issuance.lane._source)
    outcomes = AwkwardOutcomes(Outcomes(issuance.context))
    died = Died()
    settings = LaneSettings(patience=5, idle=0.05, hang=0.5)
    lane = Lane(outcomes, source, left_behind(issuance), settings=settings, die=died.append)
    lane.start()
    lane.wait_until_ready(30)
    yield lane, source, outcomes, died
    source.fail = outcomes.fail_after = None
    lane.stop()


def entry(issuance, name: str):
    return issuance.gate._entry(request_for(issuance, csr_for(name)), compromised=False)


def failing(lane: Lane, entries: list) -> list[CaError]:
    def submit(one) -> CaError | None:
        try:
            lane.submit(one)
        except CaError as error:
            return error
        return None

    with ThreadPoolExecutor(len(entries)) as pool:
        return [error for error in pool.map(submit, entries) if error]


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("error", [HsmUnavailable("away"), HsmRefused("no such key")])
def test_a_key_that_fails_is_503_and_heals_by_itself(issuance, awkward, error):
    lane, source, _, died = awkward
    source.fail = error
    entries = [entry(issuance, f"f{number}.example.test") for number in range(4)]
    errors = failing(lane, entries)
    assert [each.kind for each in errors] == [Kind.UNAVAILABLE] * 4
    assert all(each.retry_after for each in errors)
    source.fail = None
    eventually(lambda: not failing(lane, [entry(issuance, "after.example.test")]))
    eventually(lambda: world.check(issuance.context.database, settled=False)["intents"] > 0)
    assert not died


def test_an_unknown_signature_ends_the_lane_and_answers_everybody(issuance, awkward):
    lane, source, _, died = awkward
    source.fail = SignatureUnknown("late")
    errors = failing(lane, [entry(issuance, f"u{number}.example.test") for number in range(4)])
    assert [each.kind for each in errors] == [Kind.UNAVAILABLE] * 4
    assert len(died) == 1
    with pytest.raises(CaError, match="ended"):
        lane.require_ready()
    assert world.check(issuance.context.database, settled=False)["certificates"] == 0


def test_a_hanging_key_is_noticed(issuance, awkward):
    lane, source, _, died = awkward
    source.hang = 2.0
    assert failing(lane, [entry(issuance, "h.example.test")]) == []
    source.hang = 3.0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(failing, lane, [entry(issuance, "hh.example.test")])
        eventually(lambda: bool(died) or _is_refused(lane))
        source.hang = 0.0
        assert waiting.result() == []
    assert died


def _is_refused(lane: Lane) -> bool:
    try:
        lane.require_ready()
    except CaError as error:
        return "hangs" in error.detail
    return False


@pytest.mark.parametrize("step", ["store_intents", "store_certificates"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_bug_at_a_commit_is_500_and_the_lane_goes_on(issuance, awkward, step, when):
    lane, _, outcomes, _ = awkward
    setattr(outcomes, f"fail_{when}", step)
    errors = failing(lane, [entry(issuance, "bug.example.test")])
    assert [each.kind for each in errors] == [Kind.INTERNAL]
    outcomes.fail_before = outcomes.fail_after = None
    assert not failing(lane, [entry(issuance, "good.example.test")])
    eventually(lambda: _is_settled(issuance))
    world.check(issuance.context.database)


def _is_settled(issuance) -> bool:
    try:
        world.check(issuance.context.database)
    except AssertionError:
        return False
    return True
