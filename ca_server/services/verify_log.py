"""An auditor's check of a whole log, over whatever brings its resources: nothing is taken on trust.

Every leaf is fetched and hashed, every tile and the root are computed anew and compared, the auditor's own
older checkpoint must lie on the way, and the events must keep the rules of `core.audit.rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ca_server.core.audit.checkpoint import Checkpoint, open_checkpoint
from ca_server.core.audit.merkle import HASH_SIZE
from ca_server.core.audit.note import MAX_NOTE_BYTES, VerifierKey
from ca_server.core.audit.record import MAX_LEAF_BYTES, leaf_hash
from ca_server.core.audit.rules import Bounds, EventRules, Finding, Severity
from ca_server.core.audit.tiles import WIDTH, Tile, bundles_of, decode_bundle, tile_at
from ca_server.core.audit.tree import Frontier, Place
from ca_server.core.errors import CaError, Kind, refuse

MAX_FINDINGS = 100
_GRAVITY = {Severity.NOTE: 0, Severity.UNKNOWN: 1, Severity.BAD: 2}
_MAX_BUNDLE = WIDTH * (MAX_LEAF_BYTES + 2)
_FULL_TILE = WIDTH * HASH_SIZE


class LogSource(Protocol):
    """Brings a log's resources, by their names below the log's prefix."""

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """One resource.

        Raises:
            CaError: not_found or unavailable, it cannot be had; malformed, it is larger than it may be.
        """


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor brings: the log's key, his last checkpoint (a signed note), bounds, the time."""

    key: VerifierKey
    now: datetime
    since: bytes | None = None
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(slots=True)
class Verdict:
    """What the check found. `checkpoint` and its `note` are None where none could be had.

    `worst` is the gravest severity found; a log is good where that is a note at most.
    """

    checkpoint: Checkpoint | None = None
    note: bytes | None = None
    findings: list[Finding] = field(default_factory=list)
    dropped: int = 0
    worst: Severity = Severity.NOTE

    def add(self, finding: Finding) -> None:
        """Keep a finding; of a log that is wrong throughout, the first hundred tell enough."""
        is_worse = _GRAVITY[finding.severity] > _GRAVITY[self.worst]
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.dropped += 1
            if is_worse:
                self.findings[-1] = finding
        if is_worse:
            self.worst = finding.severity


def verify_log(source: LogSource, audit: Audit, progress: Callable[[int, int], None]) -> Verdict:
    """Check a log from its newest checkpoint down; `progress(done, size)` is told after each bundle.

    Never raises for what the log or its server did: that is a finding.
    """
    verdict = Verdict()
    try:
        verdict.note = source.fetch("checkpoint", MAX_NOTE_BYTES)
        verdict.checkpoint = open_checkpoint(verdict.note, [audit.key])
        walk = _Walk(source, audit, verdict.checkpoint, verdict)
        for bundle in bundles_of(verdict.checkpoint.size):
            walk.take(bundle)
            progress(walk.size, verdict.checkpoint.size)
        walk.finish()
    except CaError as error:
        missing = error.kind in {Kind.NOT_FOUND, Kind.UNAVAILABLE}
        rule_id = error.rule_ids[0] if error.rule_ids else "AUDIT-FETCH"
        verdict.add(Finding(Severity.UNKNOWN if missing else Severity.BAD, rule_id, error.detail))
    return verdict


class _Walk:
    """Goes over the log from its first leaf to its last, growing the same tree beside it."""

    def __init__(self, source: LogSource, audit: Audit, checkpoint: Checkpoint, verdict: Verdict) -> None:
        self._source = source
        self._audit = audit
        self._checkpoint = checkpoint
        self._verdict = verdict
        self._older = _older_checkpoint(audit, checkpoint)
        self._rules = EventRules(checkpoint.origin, str(audit.key), audit.bounds)
        self._frontier = Frontier()
        self._partial: dict[Place, bytes] = {}

    @property
    def size(self) -> int:
        """How many leaves were taken."""
        return self._frontier.size

    def take(self, bundle: Tile) -> None:
        """Fetch the next entries, judge them, and compare every tile that they complete.

        Raises:
            CaError: unavailable, the log cannot be read; malformed, it is not what it says.
        """
        entries = decode_bundle(self._source.fetch(bundle.path, _MAX_BUNDLE), bundle.width)
        for index, entry in enumerate(entries, self.size):
            for finding in self._rules.judge(index, entry):
                self._verdict.add(finding)
        self._append([leaf_hash(entry) for entry in entries])
        for place in [place for place, hashes in self._partial.items() if len(hashes) == _FULL_TILE]:
            self._compare(place, self._partial.pop(place))

    def finish(self) -> None:
        """Compare what is left of the tree, and judge the log as a whole.

        Raises:
            CaError: as `take`.
        """
        for place, hashes in sorted(self._partial.items()):
            self._compare(place, hashes)
        if self._frontier.root() != self._checkpoint.root:
            raise _bad("AUDIT-ROOT", "the leaves do not give the root that the checkpoint is signed over")
        for finding in self._rules.finish(self._audit.now):
            self._verdict.add(finding)

    def _append(self, hashes: list[bytes]) -> None:
        """Grow the tree, stopping on the way where the auditor last looked."""
        if self._older is not None and self.size < self._older.size <= self.size + len(hashes):
            before = self._older.size - self.size
            self._grow(hashes[:before])
            if self._frontier.root() != self._older.root:
                raise _bad(
                    "AUDIT-CONSISTENCY", f"the first {self.size} events are not those of your last checkpoint"
                )
            hashes = hashes[before:]
        self._grow(hashes)

    def _grow(self, hashes: list[bytes]) -> None:
        self._frontier, tiles = self._frontier.append(hashes)
        self._partial.update(tiles)

    def _compare(self, place: Place, hashes: bytes) -> None:
        tile = tile_at(*place, self._checkpoint.size)
        if self._source.fetch(tile.path, _FULL_TILE) != hashes:
            raise _bad("AUDIT-TILE", f"{tile.path} does not hold the hashes of the log's own entries")


def _older_checkpoint(audit: Audit, checkpoint: Checkpoint) -> Checkpoint | None:
    if audit.since is None:
        return None
    older = open_checkpoint(audit.since, [audit.key])
    if older.size > checkpoint.size:
        raise _bad(
            "AUDIT-ROLLBACK",
            f"the log has {checkpoint.size} events, and had {older.size} when you last looked",
        )
    return older


def _bad(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.MALFORMED, rule_id, detail)
