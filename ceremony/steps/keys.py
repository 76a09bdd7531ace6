"""Keys: making them in a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca_server.core.audit.note import make_verifier_key
from ca_server.core.bundle import key_id
from ca_server.hsm.port import HsmRefused
from ceremony.claims import Place, claim, left_over
from ceremony.custody import uncertain
from ceremony.failure import Failure, Stopped
from ceremony.fields import Slug
from ceremony.keys import describe_key, key_path, public_key_path, verifier_key_path
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class GenerateKey(Verb):
    """Make a key pair; its CKA_ID follows from ceremony and step, so that a crash cannot make two."""

    effect = Effect.ONCE
    do: Literal["key.generate"]
    key: Slug

    def reads(self) -> Iterator[Name]:
        """Nothing: the key is a table of the script, and its making is here."""
        yield from ()

    def makes(self) -> Iterator[Name]:
        """The key."""
        yield Name(Category.KEY, self.key, "key")

    def describe(self, script: Script) -> str:
        """What will happen."""
        key = script.keys[self.key]
        return f"make key '{key.label}' ({key.type}) in {key.hsm}"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """Which key, where, under which id."""
        key = room.script.keys[self.key]
        return {"hsm": key.hsm, "type": key.type, "label": key.label, "id": self._key_id(room).hex()}

    def perform(self, room: Room) -> Done:
        """Make the key, or take over the one that an interrupted try left where it had seen nothing.

        Raises:
            Stopped: F0, `CEREMONY-LABEL-USED`, another key has its label or id; F1, the device is away, lacks
                the mechanism, or an attribute came back weaker and the key is gone again; F2, the token has
                made another key than was asked for.
        """
        wanted = room.script.keys[self.key]
        token = room.token(wanted.hsm)
        place = Place(wanted.hsm, wanted.label, self._key_id(room))
        found = left_over(room, place)
        store = token.store
        generate = store.generate_wrappable if wanted.backup == "wrap" else store.generate
        if found is None:
            claim(room, place)
        with uncertain():
            record = found or generate(wanted.type, label=wanted.label, key_id=place.key_id)
        try:
            entry = describe_key(self.id, token.record, record, wrappable=wanted.backup == "wrap")
        except HsmRefused as error:
            raise Stopped(Failure.WRONG_PRODUCT, error) from error
        if entry.type != wanted.type:
            other = HsmRefused(f"key {wanted.label} is of type {entry.type} and not {wanted.type}")
            raise Stopped(Failure.WRONG_PRODUCT, other)
        facts = entry.model_dump(mode="json")
        if not any("key" in each for each in room.effects(self.id)):
            room.effect({"key": facts, "taken_over": found is not None})
        room.write_json(key_path(self.key), facts)
        public_key = token.store.signer(label=wanted.label, key_id=self._key_id(room)).public_key
        room.write(
            public_key_path(self.key),
            public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        )
        if room.script.log is not None and room.script.log.key == self.key:
            vkey = make_verifier_key(room.script.log.origin, public_key)
            room.write(verifier_key_path(self.key), f"{vkey}\n".encode())
        return Done(f"public key SHA-256 {entry.spki_sha256}", {"spki_sha256": entry.spki_sha256})

    def _key_id(self, room: Room) -> bytes:
        return key_id(room.script.id, self.id)
