"""What the lines of a transcript must say together: steps in the script's order, effects only inside of them.

A step is begun, has its effect, and is done. A halt (a pause, a stop) is followed by a resume or the close, a
crash by a resume, which may begin again what was not done: an effect that happens once with the same intent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rfc8785

from ca_server.core.ceremony.closing import Closing
from ca_server.core.ceremony.script_facts import CLOSE, ScriptFacts
from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import NO_STEP, Event, Line, Outcome
from ca_server.core.errors import CaError, Kind, refuse

COMPLETED = frozenset({Outcome.COMPLETED, Outcome.COMPLETED_WITH_DEVIATIONS})

_SESSION = "session"
_ONCE = "once"


def check_opening(opened: Line, script: ScriptFacts, closing: Closing) -> None:
    """Refuse a first line that opens another ceremony than the closing statement ends.

    Raises:
        CaError: malformed, `CEREMONY-GRAMMAR`.
    """
    wanted = {
        "ceremony": closing.ceremony,
        "kind": closing.kind,
        "mode": closing.mode,
        "script_sha256": closing.script_sha256,
        "roster_sha256": closing.roster_sha256,
        "roles": {name: {"group": each.group, "quorum": each.quorum} for name, each in script.roles.items()},
    }
    for name, value in wanted.items():
        if opened.data.get(name) != value:
            raise _ungrammatical(opened, f"its {name} is not that of the script and the closing statement")


def check_grammar(lines: Sequence[Line], script: ScriptFacts, closing: Closing) -> None:
    """Refuse a transcript in which something happened outside of its place.

    Raises:
        CaError: malformed; `CEREMONY-GRAMMAR`, `CEREMONY-CLOCK`, `CEREMONY-TBS-CHANGED`, `CEREMONY-CLOSING`.
    """
    _check_end(lines, _walk(lines[:-1], script), closing)


def check_order(lines: Sequence[Line], script: ScriptFacts) -> None:
    """The same for a ceremony that still goes on: its lines so far, of which none is the end.

    Raises:
        CaError: malformed; `CEREMONY-GRAMMAR`, `CEREMONY-CLOCK` or `CEREMONY-TBS-CHANGED`.
    """
    _walk(lines, script)


def _walk(lines: Sequence[Line], script: ScriptFacts) -> _Walk:
    walk = _Walk(
        order=tuple(step.id for step in script.steps if step.do != CLOSE),
        close=next((step.id for step in script.steps if step.do == CLOSE), NO_STEP),
    )
    before = lines[0]
    for line in lines[1:]:
        if line.utc < before.utc:
            raise _refuse("CEREMONY-CLOCK", f"line {line.seq}: its time is before that of the line before it")
        walk.step(line)
        before = line
    return walk


def _check_end(lines: Sequence[Line], walk: _Walk, closing: Closing) -> None:
    end = lines[-1]
    if end.event is not Event.END or end.data.get("outcome") != closing.outcome:
        raise _not_closed("the transcript does not end with the outcome of the closing statement")
    if closing.head_sequence >= end.seq or lines[closing.head_sequence].digest != closing.head_sha256:
        raise _not_closed("it names another line of the transcript as the last before it")
    for line in lines[closing.head_sequence + 1 : -1]:
        if line.event is not Event.GATE or line.data.get("gate") != Gate.CLOSE:
            raise _not_closed(f"line {line.seq} is after it and no signature of it")
    deviations = sum(line.event is Event.DEVIATION for line in lines)
    if deviations != closing.deviations:
        raise _not_closed(f"it counts {closing.deviations} deviations where the transcript has {deviations}")
    if closing.outcome in COMPLETED:
        if (closing.outcome is Outcome.COMPLETED) is (deviations > 0):
            raise _not_closed("whether there were deviations and its outcome do not fit")
        if walk.open_step is not None or tuple(walk.done) != walk.order:
            raise _not_closed("it says that all is done, and a step of the script is not")


@dataclass(slots=True)
class _Walk:
    """Where the ceremony is after each line; `order` are the script's steps but the close, which ends it."""

    order: tuple[str, ...]
    close: str
    done: dict[str, None] = field(default_factory=dict)
    intents: dict[str, str] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    open_step: str | None = None
    halted: bool = False

    def step(self, line: Line) -> None:
        match line.event:
            case Event.BEGIN:
                self._begin(line)
            case Event.EFFECT:
                _require(line, line.step == self.open_step and not self.halted, "no step is open for it")
            case Event.DONE:
                self._done(line)
            case Event.GATE:
                self._gate(line)
            case Event.PAUSE | Event.STOPPED:
                self.halted = True
            case Event.RESUME:
                self.open_step, self.halted = None, False
            case Event.DEVIATION:
                deviation = line.data
                texts = all(isinstance(deviation.get(key), str) for key in ("text", "decision", "by"))
                _require(line, texts, "a deviation has words, a decision, and somebody who decided")
            case Event.OPENED | Event.END:
                _require(line, None, "it is not the first or the last line")

    def _begin(self, line: Line) -> None:
        if line.step == self.close:
            # An aborted ceremony is closed in the middle of a step; only signatures can follow.
            self.halted = True
            return
        _require(line, self.open_step is None and not self.halted, "another step is open, or all is halted")
        _require(line, line.step in self.order, "the script has no such step")
        position = self.order.index(line.step)
        first_time = line.step not in self.done
        _require(
            line, not first_time or tuple(self.done) == self.order[:position], "it is not this step's turn"
        )
        _require(line, first_time or line.step in self.sessions, "this step was done before")
        intent, digest = line.data.get("intent"), line.data.get("intent_sha256")
        _require(
            line, isinstance(intent, dict) and _digest(intent) == digest, "its intent is not as digested"
        )
        if line.data.get("effect") == _SESSION:
            self.sessions.add(line.step)
        if line.data.get("effect") == _ONCE and self.intents.setdefault(line.step, str(digest)) != digest:
            detail = f"line {line.seq}: step {line.step} was begun again with something else"
            raise _refuse("CEREMONY-TBS-CHANGED", detail)
        self.open_step = line.step

    def _done(self, line: Line) -> None:
        _require(line, line.step == self.open_step and not self.halted, "this step is not open")
        files = line.data.get("files")
        named = isinstance(files, dict) and all(isinstance(each, str) for each in files.values())
        _require(line, named, "it does not say which files it made")
        self.done[line.step] = None
        self.open_step = None

    def _gate(self, line: Line) -> None:
        gate = line.data.get("gate")
        if gate in {Gate.PAUSE, Gate.CLOSE}:
            return
        inside = line.step == (NO_STEP if gate == Gate.RESUME else self.open_step)
        _require(line, inside and not self.halted, "no step is open for this gate")


def _require(line: Line, condition: object, detail: str) -> None:
    if not condition:
        raise _ungrammatical(line, detail)


def _digest(intent: Mapping[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(dict(intent))).hexdigest()


def _ungrammatical(line: Line, detail: str) -> CaError:
    return _refuse("CEREMONY-GRAMMAR", f"line {line.seq} ({line.event} of step {line.step}): {detail}")


def _not_closed(detail: str) -> CaError:
    return _refuse("CEREMONY-CLOSING", f"the closing statement does not hold: {detail}")


def _refuse(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.MALFORMED, rule_id, f"the transcript is refused: {detail}")
