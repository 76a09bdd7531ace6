"""A backup of a key: wrapped under a key that is split, and restored once before the event ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import spki_sha256
from ca_server.hsm.ceremony_port import WRAPPING_KEY_BYTES
from ceremony.backups import BackupRecord, load_wrapping_key, purge, restore, spki_of, wrapping_label
from ceremony.claims import Place, left_over
from ceremony.custody import before_effect, hand_over, uncertain
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class BackUpKey(Verb):
    """Wrap a key, split what wrapped it, and prove on a second device that custodians can bring it back."""

    effect = Effect.ONCE
    do: Literal["key.backup"]
    key: Slug
    shares: Slug
    prove_on: Slug

    def reads(self) -> Iterator[Name]:
        """The key, the set of shares and the second device."""
        yield Name(Category.KEY, self.key, "key")
        yield Name(Category.SHARES, self.shares, "shares")
        yield Name(Category.HSM, self.prove_on, "prove_on")

    def describe(self, script: Script) -> str:
        """What will happen."""
        key = script.keys[self.key]
        return f"back up '{key.label}' from {key.hsm} under shares '{self.shares}', proven on {self.prove_on}"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """Which key, by its public half, under which set.

        Raises:
            CaError: malformed, `CEREMONY-BACKUP`: the key was not made to be backed up, or is on one device.
        """
        wanted = room.script.keys[self.key]
        if wanted.backup != "wrap" or wanted.hsm == self.prove_on:
            detail = f"key '{self.key}' needs backup = \"wrap\", and another device to be proven on"
            raise refuse(Kind.MALFORMED, "CEREMONY-BACKUP", detail)
        spki = spki_sha256(room.signer(self.key).public_key)
        return {"key": self.key, "spki_sha256": spki, "shares": self.shares, "prove_on": self.prove_on}

    def perform(self, room: Room) -> Done:
        """Split, wrap, destroy what wrapped, restore elsewhere from what custodians typed, purge the copy.

        A try that was cut off is done again from the start, with a new wrapping key and new shares.

        Raises:
            Stopped: F0, `CEREMONY-LABEL-USED`, the second device has such a key already, and it stays there;
                F3, `CEREMONY-SHARE-INCOMPLETE`; or as custody and the devices say.
        """
        wanted = room.script.keys[self.key]
        signer, source = room.signer(self.key), wanted.hsm
        found = next(
            each
            for each in room.token(source).store.inventory()
            if each.label == wanted.label and each.public_key == signer.public_key
        )
        with before_effect():
            place = Place(self.prove_on, wanted.label, found.key_id)
            left_over(room, place, of=signer.public_key)
            shares, value = hand_over(room, self.shares, room.token(source).store.random(WRAPPING_KEY_BYTES))
        with uncertain():
            check = load_wrapping_key(room, source, value)
            store, name = room.token(source).store, wrapping_label(self.id)
            try:
                blob = store.wrap(label=wanted.label, key_id=found.key_id, wrapping_key=name)
            finally:
                store.destroy_wrapping_key(label=name)
            refusal = store.untrusted_wrapping_refusal(label=wanted.label, key_id=found.key_id)
            record = BackupRecord(
                ceremony=room.script.id,
                label=wanted.label,
                id=found.key_id.hex(),
                type=signer.key_type,
                spki=spki_of(signer.public_key).hex(),
                wrapped_sha256=hashlib.sha256(blob).hexdigest(),
                check_value=check,
                shares=self.shares,
            )
            facts = record.model_dump(mode="json")
            room.effect({"backup": facts, "untrusted_key": refusal})
            room.write(f"backups/{self.key}.blob", blob)
            room.write_json(f"backups/{self.key}.json", facts)
            room.write_json(f"shares/{self.shares}.json", shares.model_dump(mode="json"))
            restore(room, self.prove_on, record, blob, value)
            purge(room, self.prove_on, record)
        words = f"'{wanted.label}' is backed up, check value {check}; a copy proved itself and was purged"
        return Done(words, {"backup": f"backups/{self.key}.json", "check_value": check})
