"""Devices: logging in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ceremony.display import counted
from ceremony.fields import Slug
from ceremony.mechanisms import require_mechanisms
from ceremony.steps.verb import Category, Done, Effect, Name, Verb
from ceremony.token_rules import check_same

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
        """Log in to each device that is not open yet, but for one whose end has begun.

        Raises:
            CaError: a device is away, refused, another than the script says or than it was at the first login
                (`CEREMONY-TOKEN-BINDING`), or cannot make or use a key of it (`CEREMONY-MECHANISM`).
        """
        binding = {}
        there = [alias for alias in self.hsm if not _is_ending(room, alias)]
        for alias in there:
            record = room.open(alias).record
            check_same(alias, record, room.lines)
            binding[alias] = {
                "label": record.label,
                "serial": record.serial,
                "manufacturer": record.manufacturer,
                "model": record.model,
                "firmware": record.firmware,
            }
        require_mechanisms(room.script, {alias: room.token(alias).record for alias in there})
        room.display.show_tokens({alias: room.token(alias).record for alias in there})
        return Done(f"{counted(len(binding), 'device')} open", {"binding": binding})


def _is_ending(room: Room, alias: str) -> bool:
    """Whether a step has begun to erase a device: then it may have no user to log in any more."""
    erasing = (step for step in room.script.steps if step.do == "hsm.zeroise" and step.hsm == alias)
    return any(room.tries(step.id) for step in erasing)
