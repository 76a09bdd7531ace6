"""The machine, before anybody signs: its network, its clock, and which program and boot image it runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ca_server.core.clock import to_text
from ca_server.core.errors import CaError, Kind, Violation
from ceremony.people import Question
from ceremony.steps.record import FORMS
from ceremony.steps.verb import Done, Effect, Verb
from ceremony.tool import tool_sha256

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class VerifyEnvironment(Verb):
    """Look at the machine, at each resume too; a rehearsal writes down what differs, production stops."""

    effect = Effect.SESSION
    do: Literal["environment.verify"]

    def describe(self, script: Script) -> str:
        """What will happen."""
        image = ", two people type the digest of the boot image" if script.environment.os_image_sha256 else ""
        return f"check that there is no network, that this is the program meant, and the clock{image}"

    def perform(self, room: Room) -> Done:
        """Look, ask, and compare.

        Raises:
            CaError: conflict, in production: `CEREMONY-NETWORK`, `CEREMONY-TOOL`, `CEREMONY-IMAGE`.
        """
        interfaces = _interfaces()
        now = room.clock.now()
        room.display.say(f"the clock of this machine: {to_text(now)}")
        room.display.show_digest("this program", tool_sha256())
        room.people.confirm("the clock is right to the minute, and the program's digest is the published one")
        differences = tuple(_differences(room, interfaces))
        for each in differences:
            room.display.say(f"not as the script says: {each.detail}")
        if differences and room.mode == "production":
            raise CaError(Kind.CONFLICT, "this machine is not one for a ceremony", violations=differences)
        result = {
            "clock": to_text(now),
            "interfaces": list(interfaces),
            "tool_sha256": tool_sha256(),
            "differences": [each.rule_id for each in differences],
        }
        return Done(f"{len(differences)} differences from the script", result)


def _interfaces() -> tuple[str, ...]:
    """Every network interface of this machine but the loopback, as the kernel lists them for this process."""
    return tuple(sorted(name for _, name in socket.if_nameindex() if name != "lo"))


def _differences(room: Room, interfaces: tuple[str, ...]) -> Iterator[Violation]:
    wanted = room.script.environment
    if interfaces:
        yield Violation("CEREMONY-NETWORK", f"there are network interfaces: {', '.join(interfaces)}")
    if wanted.app_sha256 not in {None, tool_sha256()}:
        yield Violation("CEREMONY-TOOL", "this is not the program that the script names by its digest")
    if wanted.os_image_sha256 is not None:
        typed = [_ask(room, who, wanted.os_image_sha256) for who in ("first", "second")]
        if set(typed) != {wanted.os_image_sha256}:
            detail = "the boot image's digest, as two people typed it, is not the script's"
            yield Violation("CEREMONY-IMAGE", detail)


def _ask(room: Room, who: str, example: str) -> str:
    words = f"the {who} person types the SHA-256 of the boot image, from a program of their own choice"
    pattern, form, _ = FORMS["sha256"]
    return room.people.answer(Question(f"os-image-{who}", words, pattern, form, example))
