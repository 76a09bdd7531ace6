"""The end of a device: everything in it is erased, and it is left without a user."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.errors import Kind, refuse
from ca_server.hsm.administration import slots, zeroise_token
from ca_server.hsm.port import TokenRecord
from ceremony.custody import before_effect, officer_settings, uncertain
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb
from ceremony.token_rules import check_same, check_token

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

_RENUMBERS = "SoftHSM"


class ZeroiseToken(Verb):
    """Have the security officer erase a device, which holds no key any more; its label then says so."""

    effect = Effect.ONCE
    do: Literal["hsm.zeroise"]
    hsm: Slug

    def reads(self) -> Iterator[Name]:
        """The device."""
        yield Name(Category.HSM, self.hsm, "hsm")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"erase everything in {self.hsm}"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """Which device, and the label that it will have."""
        return {
            "hsm": self.hsm,
            "label": room.host.tokens[self.hsm].label,
            "new_label": self._new_label(room),
        }

    def perform(self, room: Room) -> Done:
        """Erase it, or see that a try that was cut off has done so.

        Raises:
            Stopped: F3, `CEREMONY-INVENTORY`, it still holds keys, or `CEREMONY-TOKEN-BINDING`, it is another
                device; F1 while it is open how far it came.
        """
        binding = room.host.tokens[self.hsm]
        with before_effect():
            if self.hsm in room.tokens and room.token(self.hsm).store.inventory():
                detail = f"{self.hsm} still holds keys; destroy them by an order first"
                raise refuse(Kind.CONFLICT, "CEREMONY-INVENTORY", detail)
        room.close()
        with before_effect():
            record = self._erased(room)
        if record is None:
            with before_effect():
                officer = officer_settings(room, self.hsm)
                pin = officer.pin.read()
            with uncertain():
                record = zeroise_token(binding.module, binding.label, pin, new_label=self._new_label(room))
            officer.pin.forget()
        facts = _facts(record)
        room.effect({"zeroised": facts})
        room.write_json(f"evidence/{self.id}.json", {**facts, "objects": [], "flags": sorted(record.flags)})
        return Done(
            f"{self.hsm} is erased, and is '{record.label}' now", {"hsm": self.hsm, "zeroised": facts}
        )

    def _erased(self, room: Room) -> TokenRecord | None:
        """The device where a try that was cut off has erased it; None where it is to be erased still.

        The first try writes down which device it is, and that no other has the label which it will have.

        Raises:
            CaError: conflict, `CEREMONY-TOKEN-BINDING`: it is not there, or is another than it was.
        """
        old, new = room.host.tokens[self.hsm].label, self._new_label(room)
        found = [each.token for each in slots(room.host.tokens[self.hsm].module) if each.initialised]
        begun = next((each["erasing"] for each in room.effects(self.id) if "erasing" in each), None)
        named = [each for each in found if each.label in {old, new}]
        if len(named) != 1 or (begun is None and named[0].label == new):
            detail = f"{len(named) or 'no'} devices are '{old}' or '{new}'; one is needed, and not erased yet"
            raise refuse(Kind.CONFLICT, "CEREMONY-TOKEN-BINDING", detail)
        (device,) = named
        if begun is None:
            check_token(self.hsm, room.script.hsm[self.hsm], device, room.host)
            check_same(self.hsm, device, room.lines)
            room.effect({"erasing": _facts(device)})
            return None
        if _facts(device) == begun:
            return None
        # SoftHSM alone gives an erased token another serial number; its new label is then all there is.
        renumbered = device.manufacturer.startswith(_RENUMBERS)
        known = {**begun, "label": new, **({"serial": device.serial} if renumbered else {})}
        if _facts(device) != known:
            detail = f"'{device.label}' of serial {device.serial} is not the device that was to be erased"
            raise refuse(Kind.CONFLICT, "CEREMONY-TOKEN-BINDING", detail)
        return device

    def _new_label(self, room: Room) -> str:
        """One that nothing else has: a label names one token, and each device of a script gets its own."""
        prefix = REHEARSAL_PREFIX if room.mode == "rehearsal" else ""
        own = hashlib.sha256(f"{room.script_sha256} {self.hsm}".encode()).hexdigest()
        return f"{prefix}zeroised-{own[:12]}"


def _facts(device: TokenRecord) -> dict[str, str]:
    return {name: getattr(device, name) for name in ("label", "serial", "manufacturer", "model")}
