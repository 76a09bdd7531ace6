"""Counting what is in a device: between two inventories just what the script says may have changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ca_server.core.ceremony.transcript import Event
from ca_server.core.errors import CaError, Kind, Violation
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

_HALVES = ("private-key", "public-key")
Keys = Annotated[tuple[Slug, ...], Field(strict=False, max_length=64)]


class Inventory(Verb):
    """List every object of a device; after the first time, just what the script says may have changed."""

    do: Literal["hsm.inventory"]
    hsm: Slug
    objects: Annotated[int, Field(ge=0, le=100_000)] | None = None
    added: Keys = ()
    removed: Keys = ()

    def reads(self) -> Iterator[Name]:
        """The device, and the keys that it must have gained or lost."""
        yield Name(Category.HSM, self.hsm, "hsm")
        for each in self.added:
            yield Name(Category.KEY, each, "added")
        for each in self.removed:
            yield Name(Category.KEY, each, "removed")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        changes = [f"added {each}" for each in self.added] + [f"removed {each}" for each in self.removed]
        return f"list every object in {self.hsm}" + (f"; expected: {', '.join(changes)}" if changes else "")

    def perform(self, room: Room) -> Done:
        """List, keep as evidence, and compare with the list before.

        Raises:
            CaError: conflict, `CEREMONY-INVENTORY`, there is another object than the script allows, or less.
        """
        found = _objects(room, self.hsm)
        room.write_json(f"evidence/{self.id}.json", found)
        violations = tuple(self._differences(room, found))
        if violations:
            detail = f"{self.hsm} does not hold just what the script allows: {violations[0].detail}"
            raise CaError(Kind.CONFLICT, detail, violations=violations)
        return Done(f"{len(found)} objects in {self.hsm}", {"hsm": self.hsm, "objects": len(found)})

    def _differences(self, room: Room, found: list[dict[str, Any]]) -> Iterator[Violation]:
        if self.objects is not None and len(found) != self.objects:
            detail = f"{self.hsm} holds {len(found)} objects where the script says {self.objects}"
            yield Violation("CEREMONY-INVENTORY", detail)
        before = _last(room, self.hsm)
        if before is not None:
            yield from self._changes(room, before, found)
            return
        there = {each["label"] for each in found}
        keys = room.script.keys.values()
        for label in sorted(key.label for key in keys if key.existing and key.hsm == self.hsm):
            if label not in there:
                yield Violation("CEREMONY-INVENTORY", f"key '{label}' is not in {self.hsm}")
            yield from _twins(self.hsm, label, found)

    def _changes(
        self, room: Room, before: list[dict[str, Any]], found: list[dict[str, Any]]
    ) -> Iterator[Violation]:
        keys = room.script.keys
        added, removed = ({keys[each].label for each in names} for names in (self.added, self.removed))
        new = [each for each in found if each not in before]
        for each in new:
            if each["label"] not in added or each["class"] not in _HALVES:
                yield Violation("CEREMONY-INVENTORY", f"{_words(each)} is new in {self.hsm}")
        for each in before:
            if each not in found and each["label"] not in removed:
                yield Violation("CEREMONY-INVENTORY", f"{_words(each)} is gone from {self.hsm}")
        for label in sorted(added - {each["label"] for each in new}):
            yield Violation("CEREMONY-INVENTORY", f"key '{label}' was not added to {self.hsm}")
        for label in sorted(added):
            yield from _twins(self.hsm, label, found)
        for label in sorted(removed & {each["label"] for each in found}):
            yield Violation("CEREMONY-INVENTORY", f"key '{label}' is still in {self.hsm}")


def _twins(hsm: str, label: str, found: list[dict[str, Any]]) -> Iterator[Violation]:
    """A key is asked for by its label, so that a second one under it is one too many."""
    halves = [each for each in found if each["label"] == label and each["class"] in _HALVES]
    for half in _HALVES:
        count = sum(each["class"] == half for each in halves)
        if count > 1:
            detail = f"{hsm} holds {count} keys of class {half} with the label '{label}'"
            yield Violation("CEREMONY-INVENTORY", detail)
    # What a device does not tell is empty.
    if len({each["fingerprint"] for each in halves if each["fingerprint"]}) > 1:
        yield Violation("CEREMONY-INVENTORY", f"the halves of '{label}' in {hsm} are not those of one key")


def _objects(room: Room, hsm: str) -> list[dict[str, Any]]:
    return [
        {
            "class": each.object_class,
            "label": each.label,
            "id": each.key_id.hex(),
            "type": each.kind,
            "fingerprint": each.fingerprint,
            "flags": list(each.flags),
        }
        for each in room.token(hsm).store.objects()
    ]


def _last(room: Room, hsm: str) -> list[dict[str, Any]] | None:
    """What the last inventory of this device in this transcript found; None before the first."""
    steps = [
        line.step
        for line in room.lines
        if line.event is Event.DONE
        and line.data["result"].get("hsm") == hsm
        and "objects" in line.data["result"]
    ]
    found: list[dict[str, Any]] | None = room.read_json(f"evidence/{steps[-1]}.json") if steps else None
    return found


def _words(found: dict[str, Any]) -> str:
    return f"{found['class']} '{found['label']}' ({found['id'] or 'no id'})"
