"""Devices: logging in, and counting what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ca_server.core.errors import Kind, refuse
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

Devices = Annotated[tuple[Slug, ...], Field(strict=False, min_length=1, max_length=16)]


class Login(Verb):
    """Open devices and compare each with what the script binds it to."""

    effect = Effect.SESSION
    do: Literal["hsm.login"]
    hsm: Devices

    def reads(self) -> Iterator[Name]:
        """The devices."""
        for each in self.hsm:
            yield Name(Category.HSM, each, "hsm")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"log in to {', '.join(self.hsm)}"

    def perform(self, room: Room) -> Done:
        """Log in to each device that is not open yet.

        Raises:
            CaError: a device is away, refused, or another than the script says (`CEREMONY-TOKEN-BINDING`).
        """
        binding = {}
        for alias in self.hsm:
            record = room.open(alias).record
            binding[alias] = {
                "label": record.label,
                "serial": record.serial,
                "manufacturer": record.manufacturer,
                "model": record.model,
                "firmware": record.firmware,
            }
        room.display.show_tokens({alias: room.token(alias).record for alias in self.hsm})
        return Done(f"{len(binding)} devices open", {"binding": binding})


class Inventory(Verb):
    """List every object of a device; after the first time, just what the script says may have changed."""

    do: Literal["hsm.inventory"]
    hsm: Slug
    objects: Annotated[int, Field(ge=0, le=100_000)] | None = None
    added: Annotated[tuple[Slug, ...], Field(strict=False, max_length=64)] = ()
    removed: Annotated[tuple[Slug, ...], Field(strict=False, max_length=64)] = ()

    def reads(self) -> Iterator[Name]:
        """The device, and the keys that it must have gained or lost."""
        yield Name(Category.HSM, self.hsm, "hsm")
        for each in (*self.added, *self.removed):
            yield Name(Category.KEY, each, "added")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"list every object in {self.hsm}"

    def perform(self, room: Room) -> Done:
        """List, keep as evidence, and compare with the list before.

        Raises:
            CaError: conflict, `CEREMONY-INVENTORY`, there is another object than the script allows.
        """
        found = [
            {"label": each.label, "id": each.key_id.hex(), "type": each.key_type}
            for each in room.token(self.hsm).store.inventory()
        ]
        room.write_json(f"evidence/{self.id}.json", found)
        if self.objects is not None and len(found) != self.objects:
            detail = f"{self.hsm} holds {len(found)} objects where the script says {self.objects}"
            raise refuse(Kind.CONFLICT, "CEREMONY-INVENTORY", detail)
        return Done(f"{len(found)} objects in {self.hsm}", {"hsm": self.hsm, "objects": len(found)})
