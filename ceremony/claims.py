"""Places for keys in devices: seen to be empty, and written down so, before a step puts a key there.

A try that was cut off may have left its key. Only what lies where this very transcript saw nothing is taken
for that; any other key of the same label or id is somebody's, and no try touches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import PublicKey
from ca_server.hsm.port import KeyRecord
from ceremony.failure import Failure, Stopped

if TYPE_CHECKING:
    from ceremony.room import Room


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step puts a key: a device by its alias, and the label and the CKA_ID that the key will have."""

    hsm: str
    label: str
    key_id: bytes

    @property
    def facts(self) -> dict[str, str]:
        """The place as a transcript names it."""
        return {"hsm": self.hsm, "label": self.label, "id": self.key_id.hex()}


def claim(room: Room, place: Place) -> None:
    """Write down that nothing is in a place, which the caller has just seen; once is enough."""
    if not is_claimed(room, place):
        room.effect({"absent": True, **place.facts})


def is_absence(effect: Mapping[str, Any]) -> bool:
    """True of what `claim` writes: a look at a token, which changed nothing in it."""
    return effect.get("absent") is True


def is_claimed(room: Room, place: Place) -> bool:
    """Whether the step at hand has seen this place empty, and has not purged it since."""
    claimed = False
    for effect in room.effects(room.step):
        if effect == {"absent": True, **place.facts}:
            claimed = True
        elif effect.get("purged") == place.facts:
            claimed = False
    return claimed


def left_over(room: Room, place: Place, *, of: PublicKey | None = None) -> KeyRecord | None:
    """The key that an earlier try of this step has left in a place; None where the place is empty.

    `of` is the public key that it must have, where that is known; a try may be cut off before it is there.

    Raises:
        Stopped: F0, `CEREMONY-LABEL-USED`: a key of this label or id is there that this step did not make.
    """
    found = [
        each
        for each in room.token(place.hsm).store.inventory()
        if each.label == place.label or each.key_id == place.key_id
    ]
    if not found:
        return None
    (first, *others) = found
    ours = (first.label, first.key_id) == (place.label, place.key_id) and not others
    if ours and is_claimed(room, place) and (of is None or first.public_key in (None, of)):
        return first
    raise used(place.hsm, first.label, first.key_id)


def used(hsm: str, label: str, key_id: bytes) -> Stopped:
    """What stops a step whose place is taken, at every try: no device was asked for anything."""
    detail = (
        f"a key '{label}' with id {key_id.hex()} is in {hsm}, and this step did not put it there:"
        " this ceremony, or another with its labels, has been here. Give the script a new id and labels, or"
        " destroy the key"
    )
    return Stopped(Failure.NOTHING_DONE, refuse(Kind.CONFLICT, "CEREMONY-LABEL-USED", detail))
