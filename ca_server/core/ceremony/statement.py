"""The statement: the exact text that a person signs at a gate, and that anybody can read and verify later."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import get_args

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.roster import Mode
from ca_server.core.clock import from_rfc3339, to_text
from ca_server.core.errors import CaError, Kind, refuse

TITLE = "sealkeeper ceremony statement v1"
MAX_STATEMENT_BYTES = 4096
NO_SUBJECT = "-"


class Gate(StrEnum):
    """What a signature lets the ceremony do; the list is closed."""

    OPEN = "open"
    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    CANDIDATE = "candidate"
    CLOSE = "close"


_SLUG = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
_DIGEST = r"[0-9a-f]{64}"
_PATH = r"(?=.{1,200}\n)[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*"
# Key -> what its value looks like, in the order of the lines.
_LINES = {
    "ceremony": _SLUG,
    "kind": _SLUG,
    "mode": "|".join(get_args(Mode)),
    "gate": "|".join(Gate),
    "step": r"-|[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?",
    "script-sha256": _DIGEST,
    "roster-sha256": _DIGEST,
    "subject": f"{NO_SUBJECT}|{_PATH}",
    "subject-sha256": f"{NO_SUBJECT}|{_DIGEST}",
    "transcript-sequence": r"0|[1-9][0-9]{0,8}",
    "transcript-sha256": _DIGEST,
    "person": _SLUG,
    "role": "|".join(RoleName),
    "nonce": r"[0-9a-f]{32}",
    "time": r"[0-9T:-]{19}Z",
}
_TEXT = re.compile("\n".join([TITLE, *(f"{key}: ({pattern})" for key, pattern in _LINES.items()), ""]))


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person says in one role at one gate.

    `subject` is a path in the bundle, or `-` as its digest is; the transcript's two are of the last line that
    the signer saw; digests and nonce are lower-case hex.
    """

    ceremony: str
    kind: str
    mode: Mode
    gate: Gate
    step: str
    script_sha256: str
    roster_sha256: str
    subject: str
    subject_sha256: str
    transcript_sequence: int
    transcript_sha256: str
    person: str
    role: RoleName
    nonce: str
    time: datetime

    def text(self) -> bytes:
        """The bytes that are signed."""
        values = (getattr(self, key.replace("-", "_")) for key in _LINES)
        words = (to_text(value) if isinstance(value, datetime) else str(value) for value in values)
        lines = [TITLE, *(f"{key}: {word}" for key, word in zip(_LINES, words, strict=True)), ""]
        return "\n".join(lines).encode()

    def path(self) -> str:
        """Where it stands in the bundle; its signature stands beside it, with `.sig` at the end."""
        return f"gates/{self.transcript_sequence:04d}-{self.gate}-{self.role}-{self.person}.txt"


def parse_statement(data: bytes) -> Statement:
    """The statement that these bytes spell, which is the only text that spells it.

    Raises:
        CaError: malformed, `CEREMONY-STATEMENT`.
    """
    if len(data) > MAX_STATEMENT_BYTES:
        raise _refuse(f"it is over {MAX_STATEMENT_BYTES // 1024} KiB")
    match = _TEXT.fullmatch(data.decode("latin-1"))
    if not match:
        raise _refuse("its lines are not those of a statement, in their order")
    word = dict(zip(_LINES, match.groups(), strict=True))
    try:
        time = from_rfc3339(word["time"])
    except ValueError as error:
        raise _refuse("its time") from error
    if (word["subject"] == NO_SUBJECT) != (word["subject-sha256"] == NO_SUBJECT):
        raise _refuse("a subject and its digest go together")
    return Statement(
        ceremony=word["ceremony"],
        kind=word["kind"],
        mode="production" if word["mode"] == "production" else "rehearsal",
        gate=Gate(word["gate"]),
        step=word["step"],
        script_sha256=word["script-sha256"],
        roster_sha256=word["roster-sha256"],
        subject=word["subject"],
        subject_sha256=word["subject-sha256"],
        transcript_sequence=int(word["transcript-sequence"]),
        transcript_sha256=word["transcript-sha256"],
        person=word["person"],
        role=RoleName(word["role"]),
        nonce=word["nonce"],
        time=time,
    )


def _refuse(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "CEREMONY-STATEMENT", f"a statement is refused: {detail}")
