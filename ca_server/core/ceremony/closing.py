"""The closing statement: what a ceremony comes to, in plain text that everyone present signs.

Its last part is a list that `sha256sum -c` checks: every file of the bundle but the transcript, which grows
by the signatures below this text, those signatures, and this text itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NoReturn

from ca_server.core.ceremony.transcript import Outcome
from ca_server.core.clock import from_rfc3339, to_text
from ca_server.core.errors import Kind, refuse

TITLE = "sealkeeper ceremony closing statement v1"
MAX_CLOSING_BYTES = 1024 * 1024
NOT_LISTED = frozenset({"transcript.jsonl", "closing.txt"})

_KEYS = (
    "ceremony",
    "kind",
    "mode",
    "outcome",
    "script-sha256",
    "roster-sha256",
    "transcript-sequence",
    "transcript-sha256",
    "time",
    "deviations",
)
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_PATH = re.compile(r"[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*")
_CLOSE_GATE = re.compile(r"gates/[0-9]{4,}-close-.*")
_MAX_NAME = 128


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody who was there, in one role."""

    role: str
    person: str
    name: str


@dataclass(frozen=True, slots=True)
class Closing:
    """A closing statement; `head` is the transcript's last line before it, `files` path -> hex SHA-256."""

    ceremony: str
    kind: str
    mode: Literal["rehearsal", "production"]
    outcome: Outcome
    script_sha256: str
    roster_sha256: str
    head_sequence: int
    head_sha256: str
    time: datetime
    deviations: int
    present: tuple[Present, ...]
    files: Mapping[str, str]


def is_listed(path: str) -> bool:
    """Whether a closing statement has to name this file of its bundle."""
    return path not in NOT_LISTED and not _CLOSE_GATE.fullmatch(path)


def make_closing(closing: Closing) -> bytes:
    """The text to be signed; people and files in one order.

    Raises:
        ValueError: a part cannot be written in one line, or is missing: our bug.
    """
    values = (
        closing.ceremony,
        closing.kind,
        closing.mode,
        str(closing.outcome),
        closing.script_sha256,
        closing.roster_sha256,
        str(closing.head_sequence),
        closing.head_sha256,
        to_text(closing.time),
        str(closing.deviations),
    )
    present = sorted(closing.present, key=lambda each: (each.role, each.person))
    lines = [
        TITLE,
        *(f"{key}: {value}" for key, value in zip(_KEYS, values, strict=True)),
        *(f"person: {each.role} {each.person} {each.name}" for each in present),
        "",
        *(f"{digest}  {path}" for path, digest in sorted(closing.files.items())),
    ]
    text = ("\n".join(lines) + "\n").encode()
    if _read(text) != replace(closing, present=tuple(present), time=closing.time.replace(microsecond=0)):
        _fail("it would be read as something else")
    return text


def parse_closing(data: bytes) -> Closing:
    """The closing statement that these bytes spell.

    Raises:
        CaError: malformed, `CEREMONY-CLOSING`.
    """
    if len(data) > MAX_CLOSING_BYTES:
        detail = f"the closing statement is over {MAX_CLOSING_BYTES // 1024} KiB"
        raise refuse(Kind.MALFORMED, "CEREMONY-CLOSING", detail)
    try:
        return _read(data)
    except ValueError as error:
        detail = f"the closing statement is not as a ceremony writes it: {error}"
        raise refuse(Kind.MALFORMED, "CEREMONY-CLOSING", detail) from error


def _read(data: bytes) -> Closing:
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        _fail("it is not UTF-8")
    if lines.pop() != "" or lines[:1] != [TITLE]:
        _fail("its first or last line")
    fields = dict(_field(line, key) for line, key in zip(lines[1:], _KEYS, strict=False))
    if len(fields) != len(_KEYS) or "" not in lines:
        _fail("a line is missing")
    gap = lines.index("")
    people = [_person(line) for line in lines[1 + len(_KEYS) : gap]]
    files = [_file(line) for line in lines[gap + 1 :]]
    spelled = [(each.role, each.person) for each in people]
    # A ceremony that ended before anybody had opened it has nobody who was there.
    if (not people and fields["outcome"] != Outcome.ABORTED_CLEAN) or spelled != sorted(set(spelled)):
        _fail("its people are not there once each and in order")
    paths = [path for path, _ in files]
    if not files or paths != sorted(set(paths)):
        _fail("its files are not there once each and in order")
    mode = fields["mode"]
    if mode not in ("rehearsal", "production") or fields["outcome"] not in set(Outcome):
        _fail("its mode or outcome")
    return Closing(
        ceremony=_matching(_SLUG, fields["ceremony"]),
        kind=_matching(_SLUG, fields["kind"]),
        mode=mode,  # type: ignore[arg-type]
        outcome=Outcome(fields["outcome"]),
        script_sha256=_matching(_DIGEST, fields["script-sha256"]),
        roster_sha256=_matching(_DIGEST, fields["roster-sha256"]),
        head_sequence=int(_matching(_NUMBER, fields["transcript-sequence"])),
        head_sha256=_matching(_DIGEST, fields["transcript-sha256"]),
        time=_time(fields["time"]),
        deviations=int(_matching(_NUMBER, fields["deviations"])),
        present=tuple(people),
        files=dict(files),
    )


def _field(line: str, key: str) -> tuple[str, str]:
    name, separator, value = line.partition(": ")
    if (name, separator) != (key, ": "):
        _fail(f"where its {key} should be")
    return name, value


def _person(line: str) -> Present:
    _, text = _field(line, "person")
    role, _, rest = text.partition(" ")
    person, _, name = rest.partition(" ")
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= _MAX_NAME:
        _fail("the name of a person")
    return Present(_matching(_SLUG, role), _matching(_SLUG, person), name)


def _file(line: str) -> tuple[str, str]:
    digest, separator, path = line.partition("  ")
    if not separator or not is_listed(path):
        _fail("the line of a file")
    return _matching(_PATH, path), _matching(_DIGEST, digest)


def _time(text: str) -> datetime:
    moment = from_rfc3339(text)
    if to_text(moment) != text:
        _fail("its time")
    return moment


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        _fail("a value that has not the form of its key")
    return text


def _fail(what: str) -> NoReturn:
    raise ValueError(what)
