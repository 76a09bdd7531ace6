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
        keys = room.script.keys
        before = _last(room, self.hsm)
        if before is None:
            there = {each["label"] for each in found}
            expected = {key.label for key in keys.values() if key.existing and key.hsm == self.hsm}
            for label in sorted(expected - there):
                yield Violation("CEREMONY-INVENTORY", f"key '{label}' is not in {self.hsm}")
            return
        added, removed = ({keys[each].label for each in names} for names in (self.added, self.removed))
        new = [each for each in found if each not in before]
        gone = [each for each in before if each not in found]
        for each in new:
            if each["label"] not in added:
                yield Violation("CEREMONY-INVENTORY", f"{_words(each)} is new in {self.hsm}")
        for each in gone:
            if each["label"] not in removed:
                yield Violation("CEREMONY-INVENTORY", f"{_words(each)} is gone from {self.hsm}")
        for label in sorted(added - {each["label"] for each in new}):
            yield Violation("CEREMONY-INVENTORY", f"key '{label}' was not added to {self.hsm}")
        for label in sorted(removed & {each["label"] for each in found}):
            yield Violation("CEREMONY-INVENTORY", f"key '{label}' is still in {self.hsm}")


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
