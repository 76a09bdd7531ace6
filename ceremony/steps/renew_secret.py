"""A device's secret in new shares: the secret changes too, so that the old shares open nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.errors import Kind, refuse
from ca_server.hsm.administration import change_so_pin, change_user_pin, security_officer
from ca_server.hsm.port import HsmRefused
from ca_server.hsm.settings import TokenSettings
from ceremony.custody import (
    SECRET_BYTES,
    before_effect,
    hand_over,
    known_record,
    record_path,
    split_settings,
    uncertain,
)
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class RenewSecret(Verb):
    """Put a new split secret in the place of a device's old one, of its user or its security officer."""

    effect = Effect.ONCE
    do: Literal["hsm.renew-secret"]
    hsm: Slug
    shares: Slug
    side: Literal["user", "officer"] = "user"

    def reads(self) -> Iterator[Name]:
        """The device and the new set; the old one is the device's own."""
        yield Name(Category.HSM, self.hsm, "hsm")
        yield Name(Category.SHARES, self.shares, "shares")

    def describe(self, script: Script) -> str:
        """What will happen."""
        old = self._old(script)
        return f"give the {self.side} of {self.hsm} a new secret, split to '{self.shares}'; '{old}' ends"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """Which set takes the place of which.

        Raises:
            CaError: malformed, `CEREMONY-SHARES`, there is no old set, or it is the new one.
        """
        old = self._old(room.script)
        if old is None or old == self.shares:
            detail = (
                f"'{self.hsm}' has no split secret of its {self.side}, or the new set has the old one's name"
            )
            raise refuse(Kind.MALFORMED, "CEREMONY-SHARES", detail)
        return {"hsm": self.hsm, "side": self.side, "old": old, "new": self.shares}

    def perform(self, room: Room) -> Done:
        """Join the old secret, hand over the new one, change it, and see that the old one opens nothing.

        Raises:
            Stopped: F0 or F3 before the device was touched; F1 while it is open which secret holds.
        """
        old_set = self._old(room.script) or ""
        if not any("renewed" in each for each in room.effects(self.id)):
            self._renew(room, old_set)
            names = {"hsm": self.hsm, "side": self.side, "set": self.shares, "old_set": old_set}
            room.effect({"renewed": names})
        record = known_record(room, self.shares)
        assert record is not None
        room.write_json(record_path(self.shares), record.model_dump(mode="json"))
        for person in room.roster.groups[room.script.shares[old_set].group]:
            room.people.destroy_share(person, old_set)
        words = f"'{self.shares}' opens {self.hsm}, and '{old_set}' opens nothing"
        return Done(words, {"hsm": self.hsm, "set": self.shares, "old_set": old_set})

    def _renew(self, room: Room, old_set: str) -> None:
        """The device is closed meanwhile: one process opens it with one secret at a time."""
        interrupted = room.folder.has(record_path(self.shares))
        with before_effect():
            old = split_settings(room, self.hsm, old_set)
            user = room.token(self.hsm).settings
            secret = room.token(self.hsm).store.random(SECRET_BYTES)
            room.tokens.pop(self.hsm).store.close()
            if interrupted:
                new = split_settings(room, self.hsm, self.shares)
            else:
                self._open(room, old)
                new = split_settings(room, self.hsm, self.shares, hand_over(room, self.shares, secret)[1])
        with uncertain():
            if not (interrupted and self._opens(room, new)):
                change = change_user_pin if self.side == "user" else change_so_pin
                change(old, new.pin.read())
                self._open(room, new)
            if self._opens(room, old):
                detail = f"the old secret still opens '{self.hsm}'"
                raise refuse(Kind.CONFLICT, "CEREMONY-SHARE-SET", detail)
            room.tokens[self.hsm] = room.connect(self.hsm, new if self.side == "user" else user)
        old.pin.forget()

    def _opens(self, room: Room, settings: TokenSettings) -> bool:
        try:
            self._open(room, settings)
        except HsmRefused:
            return False
        return True

    def _open(self, room: Room, settings: TokenSettings) -> None:
        if self.side == "user":
            room.connect(self.hsm, settings).store.close()
            return
        with security_officer(settings):
            pass

    def _old(self, script: Script) -> str | None:
        device = script.hsm[self.hsm]
        return device.shares if self.side == "user" else device.officer_shares
