"""Runs a script in a room: step after step, each announced before it is done, and the close at the end.

What happened is read from the transcript alone, so that going on after a crash is running again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import NO_STEP, Event, Outcome
from ca_server.core.clock import to_text
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.hsm.port import SignatureUnknown
from ceremony.attendance import attendance
from ceremony.claims import is_absence
from ceremony.close import close_ceremony, is_closing
from ceremony.failure import ADVICE, Failure, Stopped, failure_of
from ceremony.gates import Subject, hold_gate
from ceremony.opening import check_so_far, check_unchanged
from ceremony.people import Aborted, Deviated, Paused
from ceremony.room import Room
from ceremony.state import begun, done_steps, ended
from ceremony.steps.gates import OpenGate
from ceremony.steps.verb import Done, Effect, Verb
from ceremony.tool import tool_sha256, tool_version

_ABORTED = "CEREMONY-ABORTED"


def run_ceremony(room: Room) -> Outcome:
    """Do what the script says and the transcript does not have yet, up to the signed close.

    Raises:
        CaError: a step stopped; the transcript has its class and rules, and the words say how to go on.
        Paused: the people want to go on later; the pause is signed.
    """
    outcome = ended(room.lines)
    if outcome is not None:
        return outcome
    try:
        with _stopping(room):
            reason = _abort_reason(room)
            if reason is not None:
                return abort_ceremony(room, reason)
            _check_past(room)
            if not is_closing(room):
                _resume(room)
                _do_steps(room)
            outcome = _outcome(room)
            close_ceremony(room, outcome)
    except Aborted:
        return abort_ceremony(room, "the people in the room ended it")
    return outcome


def abort_ceremony(room: Room, reason: str) -> Outcome:
    """End a ceremony where it is; the close is signed like any other.

    Raises:
        CaError: it has ended already, or the close could not be signed.
    """
    if ended(room.lines) is not None:
        raise refuse(Kind.CONFLICT, "CEREMONY-ENDED", "this ceremony has ended")
    outcome = Outcome.ABORTED_DIRTY if _has_effects(room) else Outcome.ABORTED_CLEAN
    if _abort_reason(room) is None:
        _write_stop(room, Failure.NOTHING_DONE, [_ABORTED], reason)
    close_ceremony(room, outcome)
    return outcome


def _abort_reason(room: Room) -> str | None:
    """Why the people ended it; None where they did not. There is no way back from there."""
    stops = (line.data for line in room.lines if line.event is Event.STOPPED)
    return next((str(data["detail"]) for data in stops if data["rule_ids"] == [_ABORTED]), None)


def _do_steps(room: Room) -> None:
    for number, step in enumerate(room.script.steps, 1):
        if isinstance(step, Verb):
            _check_limits(room)
            if step.id not in done_steps(room.lines) or step.effect is Effect.SESSION:
                _do(room, number, step)


def _do(room: Room, number: int, step: Verb) -> None:
    room.step, room.written = step.id, {}
    with room.display.step(number, len(room.script.steps), step) as result:
        intent = step.intent(room)
        data = {"effect": step.effect, "attempt": room.tries(step.id) + 1, **room.announced(intent)}
        _require_same_intent(room, step, data["intent_sha256"])
        room.journal.add(Event.BEGIN, data, step=step.id)
        done = _perform(room, step)
        room.journal.add(Event.DONE, {"result": dict(done.result), "files": dict(room.written)}, step=step.id)
        result(done.words)


def _perform(room: Room, step: Verb) -> Done:
    """A deviation that is written down leaves the step where it was: it is begun again."""
    while True:
        try:
            return step.perform(room)
        except Deviated as deviation:
            room.deviate(step.id, deviation)


def _require_same_intent(room: Room, step: Verb, digest: str) -> None:
    """What a token was once asked to do is the only thing that it may be asked again (F1)."""
    before = [line for line in begun(room.lines, step.id) if line.data["effect"] == Effect.ONCE]
    if step.effect is Effect.ONCE and any(line.data["intent_sha256"] != digest for line in before):
        detail = f"{step.id} was begun with something else; only the same may be tried again"
        raise refuse(Kind.CONFLICT, "CEREMONY-TBS-CHANGED", detail)


def _check_past(room: Room) -> None:
    """Nothing is built on lines and files that do not hold, be it the close alone.

    Raises:
        Stopped: F3, with the rule that is broken.
    """
    try:
        check_unchanged(room)
        check_so_far(room)
    except CaError as error:
        raise Stopped(Failure.INTEGRITY, error) from error


def _resume(room: Room) -> None:
    """A second process starts with a full quorum: the room may have changed."""
    if len(room.lines) == 1:
        return
    opening = next(step for step in room.script.steps if isinstance(step, OpenGate))
    open_steps = dict.fromkeys(line.step for line in room.lines if line.event is Event.BEGIN)
    found = {
        "unfinished": [step for step in open_steps if step not in done_steps(room.lines)],
        "last": to_text(room.journal.head.utc),
        "tool": {"version": tool_version(), "sha256": tool_sha256()},
    }
    room.journal.add(Event.RESUME, {"found": found})
    if opening.id in done_steps(room.lines):
        room.display.say("Going on: everybody signs again, as the room may have changed.")
        hold_gate(room, NO_STEP, Gate.RESUME, opening.sign_by, Subject())


def _check_limits(room: Room) -> None:
    limit = timedelta(hours=room.script.policy.max_hours)
    if room.clock.now() - room.lines[0].utc > limit:
        detail = f"the script allows {room.script.policy.max_hours} hours from the opening"
        raise refuse(Kind.FORBIDDEN, "CEREMONY-HOURS", detail)


def _outcome(room: Room) -> Outcome:
    deviated = any(line.event is Event.DEVIATION for line in room.lines)
    return Outcome.COMPLETED_WITH_DEVIATIONS if deviated else Outcome.COMPLETED


def _has_effects(room: Room) -> bool:
    once = (line for line in room.lines if line.event is Event.BEGIN)
    return any(line.data["effect"] == Effect.ONCE for line in once)


@contextmanager
def _stopping(room: Room) -> Iterator[None]:
    """Whatever ends the process on purpose is in the transcript first."""
    try:
        yield
    except Paused:
        _pause(room)
        raise
    except SignatureUnknown as error:
        detail = "the token may or may not have signed"
        raise _stopped(room, Failure.UNCERTAIN, CaError(Kind.UNAVAILABLE, detail)) from error
    except Stopped as stop:
        raise _stopped(room, stop.failure, stop.error) from stop
    except CaError as error:
        raise _stopped(room, failure_of(error, effect_open=_effect_open(room)), error) from error


def _effect_open(room: Room) -> bool:
    """True where a token was asked, and did not answer or did what the step has not finished."""
    last = [line for line in room.lines if line.event is Event.BEGIN]
    if not last or last[-1].data["effect"] != Effect.ONCE or last[-1].step in done_steps(room.lines):
        return False
    effects = [line.data for line in room.lines[last[-1].seq :] if line.event is Event.EFFECT]
    return not effects or any(not is_absence(effect) for effect in effects)


def _stopped(room: Room, failure: Failure, error: CaError) -> CaError:
    _write_stop(room, failure, list(error.rule_ids), error.detail)
    detail = f"stopped at {room.step} ({failure}): {error.detail}. {ADVICE[failure]}"
    return CaError(error.kind, detail, violations=error.violations)


def _write_stop(room: Room, failure: Failure, rule_ids: list[str], detail: str) -> None:
    data: Mapping[str, Any] = {"failure": failure, "rule_ids": rule_ids, "detail": detail}
    room.journal.add(Event.STOPPED, data, step=room.step)


def _pause(room: Room) -> None:
    """A pause is a gate: the witnesses sign where the transcript stands."""
    room.journal.add(Event.PAUSE, {"outcome": Outcome.SUSPENDED}, step=room.step)
    roles = list(dict.fromkeys(role for _, role in attendance(room.lines)))
    if roles:
        hold_gate(room, NO_STEP, Gate.PAUSE, roles, Subject())
