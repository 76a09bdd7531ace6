"""What a token says of a key that was made in it, as the bundle has it."""

from __future__ import annotations

from ca_server.core.bundle import KeyEntry, TokenEntry
from ca_server.core.signatures import KeyType, spki_sha256
from ca_server.hsm.port import HsmRefused, KeyRecord, TokenRecord


def describe_key(step: str, token: TokenRecord, record: KeyRecord, *, wrappable: bool = False) -> KeyEntry:
    """A key for the bundle; one that is `wrappable` may leave, under a trusted key alone.

    Raises:
        HsmRefused: the token does not show the key's public half or type, or an attribute is weak.
    """
    kind, public_key = record.key_type, record.public_key
    if kind is None or public_key is None or not _is_kept(record, wrappable=wrappable):
        raise HsmRefused(f"key {record.label} did not come back from its token as it was asked to be made")
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
        extractable=record.extractable,
        never_extractable=record.never_extractable,
        wrap_with_trusted=record.wrap_with_trusted,
        local=True,
    )


def _is_kept(record: KeyRecord, *, wrappable: bool) -> bool:
    """Made there and always sensitive; and it never leaves, or wrapped by a trusted key alone."""
    flags = record.private, record.sensitive, record.always_sensitive, record.local
    leaves = record.extractable, record.never_extractable
    if not wrappable:
        return all(flags) and leaves == (False, True)
    return all(flags) and leaves == (True, False) and record.wrap_with_trusted


def key_path(key: str) -> str:
    """Where the description of a key that was made here lies in the folder and the bundle."""
    return f"keys/{key}.json"


def public_key_path(key: str) -> str:
    """Where the SubjectPublicKeyInfo (DER) of a key that was made here lies."""
    return f"keys/{key}.spki"


def verifier_key_path(key: str) -> str:
    """Where the verifier key of an audit log's key lies, one line (C2SP signed note)."""
    return f"keys/{key}.vkey"
