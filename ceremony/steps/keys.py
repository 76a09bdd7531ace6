"""Keys: making them in a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca_server.core.audit.note import make_verifier_key
from ca_server.core.bundle import key_id
from ca_server.core.errors import Kind, refuse
from ca_server.hsm.port import HsmRefused, KeyRecord
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
        """Make the key, or take over the one that an interrupted try left under this very id.

        Raises:
            CaError, Stopped: conflict, `CEREMONY-LABEL-USED`, another key has its label or id.
            HsmRefused: the mechanism is missing, or an attribute came back weaker and the key is gone again.
            Stopped: F2, the token has made another key than was asked for.
        """
        wanted = room.script.keys[self.key]
        token = room.token(wanted.hsm)
        found = self._left_over(room)
        store = token.store
        generate = store.generate_wrappable if wanted.backup == "wrap" else store.generate
        record = found or generate(wanted.type, label=wanted.label, key_id=self._key_id(room))
        try:
            entry = describe_key(self.id, token.record, record, wrappable=wanted.backup == "wrap")
        except HsmRefused as error:
            raise Stopped(Failure.WRONG_PRODUCT, error) from error
        if entry.type != wanted.type:
            other = HsmRefused(f"key {wanted.label} is of type {entry.type} and not {wanted.type}")
            raise Stopped(Failure.WRONG_PRODUCT, other)
        facts = entry.model_dump(mode="json")
        if not room.effects(self.id):
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

    def _left_over(self, room: Room) -> KeyRecord | None:
        """A key of this very step: it is there only where an earlier try was begun in this transcript."""
        wanted = room.script.keys[self.key]
        same = [
            each
            for each in room.token(wanted.hsm).store.inventory()
            if each.label == wanted.label or each.key_id == self._key_id(room)
        ]
        if not same:
            return None
        (first, *others) = same
        ours = first.label == wanted.label and first.key_id == self._key_id(room) and not others
        if ours and room.tries(self.id) > 1:
            return first
        detail = (
            f"a key '{first.label}' with id {first.key_id.hex()} is in {wanted.hsm}: this ceremony, or"
            " another with its labels, has been here. Give the script a new id and labels, or destroy the key"
        )
        used = refuse(Kind.CONFLICT, "CEREMONY-LABEL-USED", detail)
        # At the first try nothing has been asked of the token yet; after a crash that is not known.
        raise Stopped(Failure.NOTHING_DONE, used) if room.tries(self.id) == 1 else used
