"""A fresh device: initialised under two secrets that nobody has whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.errors import Kind, refuse
from ca_server.hsm.administration import initialise_token, security_officer, slots
from ca_server.hsm.ceremony_port import TokenPins
from ca_server.hsm.port import TokenRecord
from ceremony.custody import (
    SECRET_BYTES,
    ask_secret,
    before_effect,
    hand_over,
    known_record,
    split_settings,
    uncertain,
)
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb
from ceremony.token_rules import check_token

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class InitialiseToken(Verb):
    """Initialise a device with split secrets, and prove both by logging in with what custodians typed.

    The secrets come from the operating system: a device that is not initialised gives no random numbers.
    """

    effect = Effect.ONCE
    do: Literal["hsm.initialise"]
    hsm: Slug

    def reads(self) -> Iterator[Name]:
        """The device; its sets of shares are its table's."""
        yield Name(Category.HSM, self.hsm, "hsm")

    def describe(self, script: Script) -> str:
        """What will happen."""
        device = script.hsm[self.hsm]
        return (
            f"initialise {self.hsm}; its secrets are split to '{device.officer_shares}' and '{device.shares}'"
        )

    def intent(self, room: Room) -> Mapping[str, Any]:
        """Which device becomes which token, under which sets of shares."""
        device = room.script.hsm[self.hsm]
        if device.shares is None or device.officer_shares is None:
            detail = f"'{self.hsm}' is initialised with shares and officer_shares"
            raise refuse(Kind.MALFORMED, "CEREMONY-SHARES", detail)
        groups = [set(room.roster.groups[room.script.shares[each].group]) for each in self._sets(room)]
        if groups[0] & groups[1]:
            detail = f"nobody has a share of both secrets of '{self.hsm}'"
            raise refuse(Kind.FORBIDDEN, "CEREMONY-DISTINCT-ROLES", detail)
        label = room.host.tokens[self.hsm].label
        return {"hsm": self.hsm, "label": label, "serial": device.serial, "sets": list(self._sets(room))}

    def perform(self, room: Room) -> Done:
        """Split, hand over, join, initialise, log in as both; a try that was cut off after it is proven only.

        Raises:
            Stopped: F0 while the device was not touched, F1 while it is open how far it came.
        """
        room.close()
        with before_effect():
            initialised = self._look(room)
            joined = {
                each: ask_secret(room, each)
                if initialised
                else hand_over(room, each, secrets.token_bytes(SECRET_BYTES))[1]
                for each in self._sets(room)
            }
        officer, user = (split_settings(room, self.hsm, each, joined[each]) for each in self._sets(room))
        try:
            with uncertain():
                if not initialised:
                    pins = TokenPins(officer.pin.read(), user.pin.read())
                    initialise_token(user.module, user.token, pins, serial=self._serial(room))
                with security_officer(officer):
                    pass
                token = room.connect(self.hsm, user)
                left = token.store.objects()
                token.store.close()
            if left:
                detail = f"{self.hsm} holds {len(left)} objects after it was initialised"
                raise refuse(Kind.CONFLICT, "CEREMONY-INVENTORY", detail)
        finally:
            officer.pin.forget()
            user.pin.forget()
        return self._done(room, token.record)

    def _done(self, room: Room, record: TokenRecord) -> Done:
        binding = {
            name: getattr(record, name) for name in ("label", "serial", "manufacturer", "model", "firmware")
        }
        facts = {**binding, "flags": sorted(record.flags), "mechanisms": sorted(record.mechanisms)}
        room.effect({"initialised": binding})
        room.write_json(f"evidence/{self.id}.json", facts)
        for each in self._sets(room):
            known = known_record(room, each)
            if known is not None:
                room.write_json(f"shares/{each}.json", known.model_dump(mode="json"))
        words = f"{self.hsm} is '{record.label}', serial {record.serial}; both secrets open it"
        return Done(words, {"binding": {self.hsm: binding}, "sets": list(self._sets(room))})

    def _look(self, room: Room) -> bool:
        """Whether an earlier try of this step has initialised the device.

        Raises:
            CaError: conflict, `CEREMONY-TOKEN-BINDING`: the device is not there, or has been in use.
        """
        settings = room.host.tokens[self.hsm]
        found = slots(settings.module)
        for each in found:
            if each.initialised and each.token.label == settings.label:
                if room.tries(self.id) > 1 and room.folder.has(f"shares/{self._sets(room)[1]}.json"):
                    return True
                detail = f"a token '{settings.label}' is initialised already, serial {each.token.serial}"
                raise refuse(Kind.CONFLICT, "CEREMONY-TOKEN-BINDING", detail)
        serial = self._serial(room)
        fresh = [each for each in found if not each.initialised and serial in {None, each.token.serial}]
        if not fresh:
            detail = f"there is no device to initialise of serial {serial or 'any'}"
            raise refuse(Kind.CONFLICT, "CEREMONY-TOKEN-BINDING", detail)
        named = replace(fresh[0].token, label=settings.label)
        check_token(self.hsm, room.script.hsm[self.hsm], named, room.host)
        return False

    def _serial(self, room: Room) -> str | None:
        return room.script.hsm[self.hsm].serial if room.mode == "production" else None

    def _sets(self, room: Room) -> tuple[str, str]:
        device = room.script.hsm[self.hsm]
        return device.officer_shares or "", device.shares or ""
