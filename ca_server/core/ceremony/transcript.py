"""The transcript of a ceremony, its journal too: one canonical JSON object a line, naming the line before.

A reader hashes the stored bytes and never writes them anew. What the lines of one ceremony must say together
is judged in `core.ceremony.grammar`; here each line is judged by itself and by the one before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ca_server.core.clock import from_rfc3339, to_text
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.strict_json import parse_json

FORMAT = "ceremony-transcript/v1"
MAX_TRANSCRIPT_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_LINES = 20_000
NO_STEP = "-"

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Whole = Annotated[int, Field(ge=0, le=2**53 - 1)]


class Event(StrEnum):
    """What a line tells; the list is closed."""

    OPENED = "opened"
    BEGIN = "begin"
    EFFECT = "effect"
    DONE = "done"
    GATE = "gate"
    DEVIATION = "deviation"
    PAUSE = "pause"
    RESUME = "resume"
    STOPPED = "stopped"
    END = "end"


class Outcome(StrEnum):
    """How a ceremony ended; only the first two made something that may be installed."""

    COMPLETED = "completed"
    COMPLETED_WITH_DEVIATIONS = "completed-with-deviations"
    SUSPENDED = "suspended"
    ABORTED_CLEAN = "aborted-clean"
    ABORTED_DIRTY = "aborted-dirty"


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `digest` is the hex SHA-256 of its bytes without LF, `prev` that of the line before."""

    seq: int
    prev: str
    utc: datetime
    mono_ms: int
    step: str
    event: Event
    actor: str
    data: Mapping[str, Any]
    digest: str


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    seq: _Whole
    prev: _Digest
    utc: Annotated[str, Field(pattern=r"^[0-9T:-]{19}Z$")]
    mono_ms: _Whole
    step: Annotated[str, Field(pattern=r"^(?:-|[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?)$")]
    event: Annotated[Event, Field(strict=False)]
    actor: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$")]
    data: dict[str, Any]


def make_line(  # noqa: PLR0913 - these are the members of a line
    *,
    seq: int,
    prev: str,
    utc: datetime,
    mono_ms: int,
    step: str,
    event: str,
    actor: str,
    data: Mapping[str, Any],
) -> bytes:
    """One line with its LF; `prev` is the digest of the line before, or the script's for line 0.

    Raises:
        ValueError: a member has not its form, or the line is too large: our bug.
    """
    fields: dict[str, Any] = {
        "seq": seq,
        "prev": prev,
        "utc": to_text(utc),
        "mono_ms": mono_ms,
        "step": step,
        "event": str(event),
        "actor": actor,
        "data": dict(data),
    }
    line = rfc8785.dumps(fields)
    parse_line(line)
    return line + b"\n"


def line_digest(line: bytes) -> str:
    """The hex SHA-256 of a line's bytes without its LF."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def whole_lines(data: bytes) -> bytes:
    """A journal without what a power cut left after its last LF: nothing was done on such a line's word."""
    return data[: data.rfind(b"\n") + 1]


def parse_transcript(data: bytes) -> tuple[Line, ...]:
    """Every line, once each is canonical, numbered from 0 and names the one before it.

    Line 0 names the script's SHA-256 both as `prev` and in its data.

    Raises:
        CaError: malformed, `CEREMONY-TRANSCRIPT-SIZE`, `CEREMONY-TRANSCRIPT-LINE` or
            `CEREMONY-TRANSCRIPT-CHAIN`.
    """
    if len(data) > MAX_TRANSCRIPT_BYTES:
        raise _size(f"it is over {MAX_TRANSCRIPT_BYTES // 1024**2} MiB")
    stored = data.split(b"\n", MAX_LINES + 1)
    if len(stored) > MAX_LINES + 1:
        raise _size(f"it has over {MAX_LINES} lines")
    if len(stored) < 2 or stored.pop() != b"":
        raise _bad_line(len(stored), "it does not end with a line feed, or there is no line")
    lines: list[Line] = []
    for number, each in enumerate(stored):
        try:
            line = parse_line(each)
        except ValueError as error:
            raise _bad_line(number, str(error)) from error
        if line.seq != number or line.prev != (lines[-1].digest if lines else _script_of(line)):
            raise _refuse("CEREMONY-TRANSCRIPT-CHAIN", f"line {number} does not follow the line before it")
        lines.append(line)
    return tuple(lines)


def _script_of(line: Line) -> str | None:
    if line.event is not Event.OPENED or line.data.get("format") != FORMAT:
        raise _bad_line(0, f"it is not the opening of a {FORMAT}")
    script: str | None = line.data.get("script_sha256")
    return script


def parse_line(stored: bytes) -> Line:
    """One line, given without its LF, judged by itself.

    Raises:
        ValueError: it is not as a ceremony writes it.
    """
    if len(stored) > MAX_LINE_BYTES:
        raise ValueError(f"it has over {MAX_LINE_BYTES // 1024} KiB")
    content = parse_json(stored)
    try:
        canonical = rfc8785.dumps(content) == stored
    except rfc8785.CanonicalizationError as error:
        raise ValueError("it is not canonical JSON (RFC 8785)") from error
    if not canonical:
        raise ValueError("it is not canonical JSON (RFC 8785)")
    try:
        fields = _Fields.model_validate(content)
    except ValidationError as error:
        raise ValueError("it has not the members of a line") from error
    utc = from_rfc3339(fields.utc)
    return Line(
        seq=fields.seq,
        prev=fields.prev,
        utc=utc,
        mono_ms=fields.mono_ms,
        step=fields.step,
        event=fields.event,
        actor=fields.actor,
        data=fields.data,
        digest=line_digest(stored),
    )


def _bad_line(number: int, detail: str) -> CaError:
    return _refuse("CEREMONY-TRANSCRIPT-LINE", f"line {number}: {detail}")


def _size(detail: str) -> CaError:
    return _refuse("CEREMONY-TRANSCRIPT-SIZE", detail)


def _refuse(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.MALFORMED, rule_id, f"the transcript is refused: {detail}")
