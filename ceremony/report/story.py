"""What happened, in order: the transcript as steps, moments, signatures of tokens and stops."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ca_server.core.ceremony.transcript import NO_STEP, Event, Line

_MOMENTS = frozenset({Event.GATE, Event.DEVIATION, Event.PAUSE, Event.RESUME, Event.STOPPED})


@dataclass(frozen=True, slots=True)
class Span:
    """One step, in milliseconds since the ceremony was opened; `ended_ms` is None where it never ended.

    `result` is what the transcript has of it, answers of people such as the numbers of bags among it.
    """

    step: str
    does: str
    started_ms: int
    ended_ms: int | None
    attempts: int
    result: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that has no length: a gate's signature, a deviation, a pause, a resumption, a stop."""

    event: str
    step: str
    at_ms: int
    words: str


@dataclass(frozen=True, slots=True)
class Deviation:
    """What was not as the script says, and who decided what about it."""

    seq: int
    utc: datetime
    step: str
    text: str
    decision: str
    by: str


@dataclass(frozen=True, slots=True)
class TokenAct:
    """A line in which a token did something, every member as it was written."""

    seq: int
    utc: datetime
    step: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Story:
    """A whole ceremony in time."""

    opened: datetime
    ended: datetime
    length_ms: int
    spans: tuple[Span, ...]
    moments: tuple[Moment, ...]
    deviations: tuple[Deviation, ...]
    signatures: tuple[TokenAct, ...]
    other_acts: tuple[TokenAct, ...]


def tell(lines: Sequence[Line], verbs: Mapping[str, str]) -> Story:
    """The story of a transcript; `verbs` says what each step of the script does."""
    at = tuple(_elapsed(lines))
    acts = tuple(
        TokenAct(each.seq, each.utc, each.step, members_of(each.data))
        for each in lines
        if each.event is Event.EFFECT
    )
    return Story(
        opened=lines[0].utc,
        ended=lines[-1].utc,
        length_ms=at[-1],
        spans=tuple(_spans(lines, at, verbs)),
        moments=tuple(
            Moment(each.event, each.step, moment, _words(each))
            for each, moment in zip(lines, at, strict=True)
            if each.event in _MOMENTS
        ),
        deviations=tuple(_deviation(each) for each in lines if each.event is Event.DEVIATION),
        signatures=tuple(each for each in acts if "input_sha256" in each.members),
        other_acts=tuple(each for each in acts if "input_sha256" not in each.members),
    )


def members_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Each member as text, those of a member that is an object by both their names."""
    members: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            members |= {f"{name} {inner}": text for inner, text in members_of(value).items()}
        else:
            members[name] = _text(value)
    return members


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _elapsed(lines: Sequence[Line]) -> Iterator[int]:
    """Milliseconds since line 0: by the steady clock in a process, by UTC where another went on."""
    total = 0
    yield total
    for before, line in itertools.pairwise(lines):
        steady = line.mono_ms - before.mono_ms
        if line.event is Event.RESUME or steady < 0:
            steady = int((line.utc - before.utc).total_seconds() * 1000)
        total += max(steady, 0)
        yield total


def _spans(lines: Sequence[Line], at: Sequence[int], verbs: Mapping[str, str]) -> Iterator[Span]:
    """One span for each step that any line names, in the order in which they were begun."""
    numbers: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if line.step != NO_STEP:
            numbers.setdefault(line.step, []).append(number)
    for step, own in numbers.items():
        done = [number for number in own if lines[number].event in {Event.DONE, Event.END}]
        yield Span(
            step=step,
            does=verbs.get(step, ""),
            started_ms=at[own[0]],
            ended_ms=at[done[-1]] if done else None,
            attempts=sum(lines[number].event is Event.BEGIN for number in own),
            result=_result(lines[done[-1]]) if done else {},
        )


def _result(line: Line) -> dict[str, str]:
    """What a step came to; how devices described themselves is told with the devices."""
    result = {name: value for name, value in line.data.get("result", {}).items() if name != "binding"}
    return members_of(result)


def _deviation(line: Line) -> Deviation:
    members = members_of(line.data)
    text, decision, by = (members.get(name, "") for name in ("text", "decision", "by"))
    return Deviation(line.seq, line.utc, line.step, text, decision, by)


def _words(line: Line) -> str:
    members = members_of(line.data)
    match line.event:
        case Event.GATE:
            return f"{members.get('gate', '')}: {members.get('person', '')} as {members.get('role', '')}"
        case Event.DEVIATION:
            return f"deviation: {members.get('text', '')}"
        case Event.STOPPED:
            return f"stopped, {members.get('failure', '')}: {members.get('detail', '')}"
        case _:
            return str(line.event)
