"""What must hold of the events of a log, judged one after the other in the order of the tree.

The rules: every leaf is canonical; no event twice; no outcome without its intent, none twice, none missing
for long, and each about the same serial number and bytes; no serial number twice; time does not run back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ca_server.core.audit.record import CATALOGUE, parse_event
from ca_server.core.clock import to_text
from ca_server.core.errors import CaError

HEARTBEAT = timedelta(minutes=5)

# Outcome -> the intent that it settles, and what the two must agree on.
_OUTCOMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "crl.abandoned": ("crl.intent", ("authority", "crl_number")),
    "crl.done": ("crl.intent", ("authority", "crl_number")),
    "issue.abandoned": ("issue.intent", ("authority", "serial", "tbs_sha256")),
    "issue.done": ("issue.intent", ("authority", "serial", "tbs_sha256")),
}
_AGREE = dict(_OUTCOMES.values())
# Kind -> what no two events of the kind may share.
_ONCE: dict[str, tuple[str, ...]] = {
    "crl.intent": ("authority", "crl_number"),
    "issue.done": ("cert_sha256",),
    "issue.intent": ("authority", "serial"),
}


class Severity(StrEnum):
    """`bad`: the log breaks a rule. `unknown`: something is missing to judge. `note`: for the reader."""

    BAD = "bad"
    UNKNOWN = "unknown"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found; `index` is the leaf's, or None where it is not about one leaf."""

    severity: Severity
    rule_id: str
    detail: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much time may run back, how long an intent may stay open, how long a log may be silent."""

    skew: timedelta = timedelta(minutes=5)
    open_intent: timedelta = timedelta(hours=1)
    silence: timedelta = 3 * HEARTBEAT


@dataclass(frozen=True, slots=True)
class _Intent:
    """An intent without outcome so far, and a digest of what its outcome must agree with."""

    index: int
    kind: str
    time: datetime
    agreed: bytes


class EventRules:
    """Judges the leaves of one log from its first to its last; feed them in order."""

    def __init__(self, origin: str, vkey: str, bounds: Bounds) -> None:
        self._opening = {"origin": origin, "vkey": vkey}
        self._bounds = bounds
        self._event_ids: set[bytes] = set()
        self._once: set[bytes] = set()
        self._open: dict[bytes, _Intent] = {}
        self._settled: dict[bytes, int] = {}
        self._latest: datetime | None = None

    def judge(self, index: int, entry: bytes) -> Iterator[Finding]:
        """The findings about the next leaf."""
        try:
            leaf = parse_event(entry)
        except CaError as error:
            yield Finding(Severity.BAD, error.rule_ids[0], error.detail, index)
            return
        if index == 0:
            yield from self._judge_opening(leaf)
        missing = CATALOGUE.get(leaf["kind"])
        if missing is None:
            detail = f"this verifier does not know events of kind {leaf['kind']}"
            yield Finding(Severity.UNKNOWN, "AUDIT-KIND", detail, index)
        elif missing - leaf["data"].keys():
            yield Finding(Severity.BAD, "AUDIT-KIND", f"a {leaf['kind']} lacks what it must say", index)
        yield from self._judge_unique(index, leaf)
        yield from self._judge_outcome(index, leaf)
        yield from self._judge_time(index, leaf["time"])

    def finish(self, now: datetime) -> Iterator[Finding]:
        """The findings about the log as a whole, once every leaf was fed."""
        for intent in self._open.values():
            late = now - intent.time > self._bounds.open_intent
            detail = f"a {intent.kind} of {to_text(intent.time)} has no outcome yet"
            yield Finding(Severity.BAD if late else Severity.NOTE, "AUDIT-OPEN-INTENT", detail, intent.index)
        if self._latest is None:
            return
        if self._latest - now > self._bounds.skew:
            detail = f"the newest event, of {to_text(self._latest)}, is in the future"
            yield Finding(Severity.BAD, "AUDIT-TIME", detail)
        if now - self._latest > self._bounds.silence:
            detail = f"the log has been silent since {to_text(self._latest)}"
            yield Finding(Severity.NOTE, "AUDIT-SILENCE", detail)

    def _judge_opening(self, leaf: dict[str, Any]) -> Iterator[Finding]:
        said = {key: leaf["data"].get(key) for key in self._opening}
        if leaf["kind"] != "log.epoch-open" or said != self._opening:
            detail = "the first event does not open a log of this name and key"
            yield Finding(Severity.BAD, "AUDIT-EPOCH", detail, 0)

    def _judge_unique(self, index: int, leaf: dict[str, Any]) -> Iterator[Finding]:
        event_id = _digest(leaf["event_id"])
        if event_id in self._event_ids:
            yield Finding(
                Severity.BAD, "AUDIT-EVENT-UNIQUE", f"event {leaf['event_id']} is there twice", index
            )
        self._event_ids.add(event_id)
        once = _ONCE.get(leaf["kind"])
        if once is None:
            return
        value = _digest(leaf["kind"], *(leaf["data"].get(key) for key in once))
        if value in self._once:
            detail = f"a second {leaf['kind']} with the same {' and '.join(once)}"
            yield Finding(Severity.BAD, "AUDIT-ONCE", detail, index)
        self._once.add(value)

    def _judge_outcome(self, index: int, leaf: dict[str, Any]) -> Iterator[Finding]:
        kind, data = leaf["kind"], leaf["data"]
        if kind in _AGREE:
            agreed = _digest(*(data.get(key) for key in _AGREE[kind]))
            self._open[_digest(leaf["event_id"])] = _Intent(index, kind, leaf["time"], agreed)
        if kind not in _OUTCOMES:
            return
        intent_kind, keys = _OUTCOMES[kind]
        ref = _digest(leaf.get("ref"))
        intent = self._open.pop(ref, None)
        if ref in self._settled:
            detail = f"a second outcome of the intent at {self._settled[ref]}"
            yield Finding(Severity.BAD, "AUDIT-OUTCOME", detail, index)
        elif intent is None or intent.kind != intent_kind:
            yield Finding(Severity.BAD, "AUDIT-INTENT", f"a {kind} without a {intent_kind} before it", index)
        else:
            self._settled[ref] = intent.index
            if intent.agreed != _digest(*(data.get(key) for key in keys)):
                detail = f"the outcome and the intent at {intent.index} differ in {', '.join(keys)}"
                yield Finding(Severity.BAD, "AUDIT-OUTCOME", detail, index)

    def _judge_time(self, index: int, time: datetime) -> Iterator[Finding]:
        if self._latest is not None and self._latest - time > self._bounds.skew:
            detail = f"time runs back from {to_text(self._latest)} to {to_text(time)}"
            yield Finding(Severity.BAD, "AUDIT-TIME", detail, index)
        if self._latest is not None and time - self._latest > self._bounds.silence:
            detail = f"the log was silent from {to_text(self._latest)} to {to_text(time)}"
            yield Finding(Severity.NOTE, "AUDIT-SILENCE", detail, index)
        self._latest = time if self._latest is None else max(time, self._latest)


def _digest(*values: object) -> bytes:
    """Sixteen bytes that stand for some values, so that a million events fit in memory."""
    return hashlib.sha256(repr(values).encode()).digest()[:16]
