"""Make a key pair in a token."""

from __future__ import annotations

from dataclasses import dataclass

from ca_server.core.bundle import key_id
from ca_server.core.signatures import KeyType
from ceremony.room import CeremonyKey, Room, describe_key


@dataclass(frozen=True, slots=True)
class GenerateKey:
    """Makes the key `alias`; its CKA_ID comes from the ceremony and the step, so a second run meets it."""

    id: str
    ceremony: str
    alias: str
    token: str
    key_type: KeyType
    label: str

    def describe(self) -> str:
        """What will happen."""
        return f"make key '{self.label}' ({self.key_type}) in token '{self.token}'"

    @property
    def key_id(self) -> bytes:
        """The CKA_ID that the key will have."""
        return key_id(self.ceremony, self.id)

    def perform(self, room: Room) -> str:
        """Make the key and keep what the token says of it.

        Raises:
            HsmRefused: label or id is taken, the mechanism is missing, or an attribute came back weaker.
            HsmUnavailable: the token is away.
        """
        token = room.tokens[self.token]
        record = token.store.generate(self.key_type, label=self.label, key_id=self.key_id)
        entry = describe_key(self.id, token.record, record)
        signer = token.store.signer(label=self.label, key_id=self.key_id)
        room.keys[self.alias] = CeremonyKey(signer, entry)
        return f"public key SHA-256 {entry.spki_sha256}"
