"""The audit log's anchors against each other: which checkpoint is the newest, and do any two disagree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ca_server.core.audit.base64_text import encode_base64
from ca_server.core.audit.checkpoint import Checkpoint, open_checkpoint
from ca_server.core.audit.note import VerifierKey, parse_verifier_key
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint as one anchor kept it: the log's database, a witness, a mirror, a printed sheet."""

    name: str
    sha256: str
    checkpoint: Checkpoint


class ReconcileLog(Verb):
    """Verify the last checkpoint of every anchor, and write down which is the newest and what disagrees.

    Two checkpoints of one size with different roots prove that the log was forked. That a larger one
    continues a smaller one takes a consistency proof from the log's tiles, which no file here can be.
    """

    effect = Effect.IDEMPOTENT
    do: Literal["log.reconcile"]
    vkey: Slug
    anchors: Annotated[tuple[Slug, ...], Field(strict=False, min_length=1, max_length=32)]

    def reads(self) -> Iterator[Name]:
        """The log's verifier key, and the checkpoints."""
        yield Name(Category.INPUT, self.vkey, "vkey")
        for each in self.anchors:
            yield Name(Category.INPUT, each, "anchors")

    def makes(self) -> Iterator[Name]:
        """The report, named after the step."""
        yield Name(Category.FILE, self.id, "id")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"compare the last checkpoints of {len(self.anchors)} anchors"

    def perform(self, room: Room) -> Done:
        """Compare them.

        Raises:
            CaError: `AUDIT-VKEY`; `CEREMONY-ANCHOR`, not one checkpoint is the log's.
        """
        key = _verifier_key(room.read(f"inputs/{self.vkey}"))
        anchors, disagreements = [], []
        for name in self.anchors:
            note = room.read(f"inputs/{name}")
            try:
                anchors.append(Anchor(name, hashlib.sha256(note).hexdigest(), open_checkpoint(note, [key])))
            except CaError as error:
                disagreements.append({"anchors": [name], "why": f"{error.rule_ids[0]}: {error.detail}"})
        if not anchors:
            raise refuse(Kind.CONFLICT, "CEREMONY-ANCHOR", f"no anchor has a checkpoint of {key.name}")
        disagreements += _forks(anchors)
        newest = max(anchors, key=lambda each: each.checkpoint.size)
        report = {
            "format": "log-reconcile/v1",
            "ceremony": room.script.id,
            "origin": key.name,
            "vkey": str(key),
            "anchors": [_facts(each) for each in anchors],
            "newest": _facts(newest),
            "disagreements": disagreements,
            "unproven": sorted({each.name for each in anchors if each.checkpoint != newest.checkpoint}),
        }
        digest = room.write_json(f"papers/{self.id}.json", report)
        size = newest.checkpoint.size
        room.display.say(f"newest: {newest.name}, {size} records; {len(disagreements)} disagreements")
        return Done(
            f"{len(anchors)} anchors, the newest of {size} records, {len(disagreements)} disagreements",
            {"report_sha256": digest, "newest": newest.name, "disagreements": len(disagreements)},
        )


def _verifier_key(data: bytes) -> VerifierKey:
    try:
        text = data[:1024].decode("ascii")
    except UnicodeDecodeError as error:
        raise refuse(Kind.MALFORMED, "AUDIT-VKEY", "a vkey is one line of ASCII") from error
    return parse_verifier_key(text)


def _forks(anchors: Sequence[Anchor]) -> Iterator[dict[str, Any]]:
    for place, one in enumerate(anchors):
        for other in anchors[place + 1 :]:
            mine, theirs = one.checkpoint, other.checkpoint
            if mine.size == theirs.size and mine.root != theirs.root:
                yield {"anchors": [one.name, other.name], "why": f"two roots of {mine.size} records"}


def _facts(anchor: Anchor) -> dict[str, Any]:
    return {
        "name": anchor.name,
        "sha256": anchor.sha256,
        "size": anchor.checkpoint.size,
        "root": encode_base64(anchor.checkpoint.root),
    }
