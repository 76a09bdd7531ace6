"""What is in the room while a ceremony runs: the open tokens, and what has been made so far.

Nothing here is written anywhere before the last step has succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.bundle import KeyEntry, TokenEntry
from ca_server.core.signatures import KeyType, PublicKey, spki_sha256
from ca_server.hsm.port import HsmRefused, KeyRecord, KeyStore, Signer, TokenRecord


@dataclass(frozen=True, slots=True)
class Token:
    """An open token and what it said of itself when it was opened."""

    store: KeyStore
    record: TokenRecord


@dataclass(frozen=True, slots=True)
class CeremonyKey:
    """A key that a step made: how to sign with it, and its description for the bundle."""

    signer: Signer
    entry: KeyEntry

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self.signer.public_key


@dataclass(slots=True)
class Room:
    """Open tokens by alias; keys by alias, certificates and files by their path in the bundle."""

    tokens: Mapping[str, Token]
    keys: dict[str, CeremonyKey] = field(default_factory=dict)
    certificates: dict[str, x509.Certificate] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    api_server_key: bytes | None = field(default=None, repr=False)

    def keep_certificate(self, path: str, certificate: x509.Certificate) -> None:
        """Put a finished certificate where later steps and the bundle find it."""
        self.certificates[path] = certificate
        self.files[path] = certificate.public_bytes(Encoding.DER)


class Step(Protocol):
    """One verb of a plan."""

    @property
    def id(self) -> str:
        """Names the step in the script's terms; key ids derive from it."""

    def describe(self) -> str:
        """What will happen, for the people in the room."""

    def perform(self, room: Room) -> str:
        """Do it, and say what came of it.

        Raises:
            CaError: it was refused or could not be done; nothing was released.
            SignatureUnknown: the token may have signed.
        """


def describe_key(step: str, token: TokenRecord, record: KeyRecord) -> KeyEntry:
    """A key for the bundle.

    Raises:
        HsmRefused: the token does not show the key's public half or type, or an attribute is weak.
    """
    kind, public_key = record.key_type, record.public_key
    if kind is None or public_key is None or not _never_leaves(record):
        raise HsmRefused(f"key {record.label} did not come back from its token as one that never leaves it")
    return KeyEntry(
        step=step,
        token=TokenEntry(
            label=token.label,
            serial=token.serial,
            manufacturer=token.manufacturer,
            model=token.model,
            firmware=token.firmware,
        ),
        label=record.label,
        id=record.key_id.hex(),
        type=KeyType(kind),
        spki_sha256=spki_sha256(public_key),
        private=True,
        sensitive=True,
        always_sensitive=True,
        extractable=False,
        never_extractable=True,
        local=True,
    )


def _never_leaves(record: KeyRecord) -> bool:
    flags = record.private, record.sensitive, record.always_sensitive, record.never_extractable, record.local
    return all(flags) and not record.extractable
