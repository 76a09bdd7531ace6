"""The end of a device: everything in it is erased, and it is left without a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.errors import Kind, refuse
from ca_server.hsm.administration import slots, zeroise_token
from ca_server.hsm.port import TokenRecord
from ceremony.custody import before_effect, officer_settings, uncertain
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


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
            Stopped: F3, `CEREMONY-INVENTORY`, it still holds keys; F1 while it is open how far it came.
        """
        binding = room.host.tokens[self.hsm]
        with before_effect():
            if self.hsm in room.tokens and room.token(self.hsm).store.inventory():
                detail = f"{self.hsm} still holds keys; destroy them by an order first"
                raise refuse(Kind.CONFLICT, "CEREMONY-INVENTORY", detail)
        room.close()
        record = self._erased(room) if room.tries(self.id) > 1 else None
        if record is None:
            with before_effect():
                officer = officer_settings(room, self.hsm)
                pin = officer.pin.read()
            with uncertain():
                record = zeroise_token(binding.module, binding.label, pin, new_label=self._new_label(room))
            officer.pin.forget()
        facts = {name: getattr(record, name) for name in ("label", "serial", "manufacturer", "model")}
        room.effect({"zeroised": facts})
        room.write_json(f"evidence/{self.id}.json", {**facts, "objects": [], "flags": sorted(record.flags)})
        return Done(
            f"{self.hsm} is erased, and is '{record.label}' now", {"hsm": self.hsm, "zeroised": facts}
        )

    def _erased(self, room: Room) -> TokenRecord | None:
        found = slots(room.host.tokens[self.hsm].module)
        return next((each.token for each in found if each.token.label == self._new_label(room)), None)

    def _new_label(self, room: Room) -> str:
        """One that nothing else has: a label names one token."""
        prefix = REHEARSAL_PREFIX if room.mode == "rehearsal" else ""
        return f"{prefix}zeroised-{room.script_sha256[:8]}"
