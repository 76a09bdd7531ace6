"""Keys that leave a device wrapped, and come back: records of backups, and proof that a copy is the key.

The wrapping key is 32 octets that are split; it is in a device only while it wraps or unwraps.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Annotated, Literal

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pydantic import Field, ValidationError

from ca_server.core.clock import to_text
from ca_server.core.document import Strict
from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import PublicKey, default_algorithm, key_type_of, spki_sha256
from ca_server.core.strict_json import parse_json
from ca_server.hsm.administration import security_officer
from ca_server.hsm.ceremony_port import check_value
from ca_server.hsm.port import Signer
from ceremony.claims import Place, claim, is_claimed, left_over, used
from ceremony.custody import officer_settings
from ceremony.fields import KeyTypeName, Label, Slug
from ceremony.tables import Digest

if TYPE_CHECKING:
    from ceremony.room import Room

CHALLENGE = "sealkeeper ceremony challenge v1"
_MAX_RECORD_BYTES = 64 * 1024
Hex = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){1,4096}$")]


class BackupRecord(Strict):
    """What is known of a backup: its key, its blob by digest, and the check value of what wrapped it."""

    format: Literal["ceremony-backup/v1"] = "ceremony-backup/v1"
    ceremony: Slug
    label: Label
    id: Hex
    type: KeyTypeName
    spki: Hex
    wrapping: Literal["aes-256-kwp"] = "aes-256-kwp"
    wrapped_sha256: Digest
    check_value: Annotated[str, Field(pattern=r"^[0-9a-f]{6}$")]
    shares: Slug

    @property
    def public_key(self) -> PublicKey:
        """The key that the wrapped one belongs to.

        Raises:
            CaError: malformed, `CEREMONY-BACKUP`.
        """
        try:
            key = load_der_public_key(bytes.fromhex(self.spki))
        except ValueError as error:
            raise refuse(
                Kind.MALFORMED, "CEREMONY-BACKUP", "the public key in a backup is not one"
            ) from error
        if key_type_of(key) != self.type:
            raise refuse(Kind.MALFORMED, "CEREMONY-BACKUP", "the public key in a backup is of another type")
        return key  # type: ignore[return-value]  # key_type_of knows exactly these classes


def parse_backup(data: bytes, name: str, blob: bytes) -> BackupRecord:
    """The record of a backup, once the blob is its own.

    Raises:
        CaError: malformed, `CEREMONY-BACKUP`.
    """
    try:
        record = BackupRecord.model_validate(parse_json(data[:_MAX_RECORD_BYTES]))
    except (ValueError, ValidationError) as error:
        raise refuse(Kind.MALFORMED, "CEREMONY-BACKUP", f"{name} is not the record of a backup") from error
    if hashlib.sha256(blob).hexdigest() != record.wrapped_sha256:
        raise refuse(Kind.MALFORMED, "CEREMONY-BACKUP", f"the blob is not the one of {name}")
    return record


def spki_of(public_key: PublicKey) -> bytes:
    """A public key in DER (RFC 5280 §4.1.2.7)."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def wrapping_label(step: str) -> str:
    """The label that a wrapping key has for its short life."""
    return f"wrap-{step}"[:32].rstrip("-")


def load_wrapping_key(room: Room, alias: str, value: bytes) -> str:
    """Have the security officer put a wrapping key into a device and trust it. Its check value.

    One that a try of this step has left is removed first. The user is logged out meanwhile, and in again
    afterwards.

    Raises:
        CaError: the security officer was refused, or the device has another key than was given to it.
        Stopped: F0, `CEREMONY-LABEL-USED`: somebody else's key has the label of the wrapping key.
    """
    label = wrapping_label(room.step)
    place = Place(alias, label, hashlib.sha256(label.encode()).digest()[:16])
    _clear(room, place)
    claim(room, place)
    officer = officer_settings(room, alias)
    try:
        with room.closed(alias), security_officer(officer) as session:
            session.load_wrapping_key(value, label=label, key_id=place.key_id)
    finally:
        officer.pin.forget()
    return check_value(value)


def _clear(room: Room, place: Place) -> None:
    store = room.token(place.hsm).store
    found = [
        each for each in store.objects() if (each.object_class, each.label) == ("secret-key", place.label)
    ]
    if found and not is_claimed(room, place):
        raise used(place.hsm, place.label, found[0].key_id)
    if found:
        store.destroy_wrapping_key(label=place.label)


def require_wrapping_key(record: BackupRecord, value: bytes) -> None:
    """Pass the octets that wrapped this backup.

    Raises:
        CaError: conflict, `CEREMONY-SHARE-SET`.
    """
    if check_value(value) != record.check_value:
        detail = "the shares join to another wrapping key than that of the backup"
        raise refuse(Kind.CONFLICT, "CEREMONY-SHARE-SET", detail)


def restored_place(alias: str, record: BackupRecord) -> Place:
    """Where a key comes back to: under the label and the id that it had."""
    return Place(alias, record.label, bytes.fromhex(record.id))


def require_vacant(room: Room, alias: str, record: BackupRecord) -> None:
    """Pass a device that has no key of the record's label or id but what this step has put there itself.

    Raises:
        Stopped: F0, `CEREMONY-LABEL-USED`, at every try: the key that is there may be the only one.
    """
    left_over(room, restored_place(alias, record), of=record.public_key)


def restore(room: Room, alias: str, record: BackupRecord, blob: bytes, value: bytes) -> None:
    """Unwrap a key into a device, and let it prove itself by a signature of a challenge.

    The wrapping key is gone afterwards. The challenge, its signature and the public key are written down.
    What a try that was cut off has left of the key is destroyed before; nothing else ever is.

    Raises:
        CaError: the device refused it, or the key is not the one of the record.
        Stopped: as `require_vacant`.
    """
    require_vacant(room, alias, record)
    load_wrapping_key(room, alias, value)
    store, place = room.token(alias).store, restored_place(alias, record)
    try:
        if left_over(room, place, of=record.public_key):
            store.destroy(label=place.label, key_id=place.key_id)
        claim(room, place)
        found = store.unwrap(
            blob,
            record.public_key,
            label=place.label,
            key_id=place.key_id,
            wrapping_key=wrapping_label(room.step),
        )
    finally:
        store.destroy_wrapping_key(label=wrapping_label(room.step))
    flags = {
        each: getattr(found, each) for each in ("private", "sensitive", "extractable", "wrap_with_trusted")
    }
    room.effect({"restored": {**place.facts, **flags}})
    _challenge(room, store.signer(label=place.label, key_id=place.key_id), record)


def purge(room: Room, alias: str, record: BackupRecord) -> None:
    """Destroy the copy that this step has restored; the place is nobody's afterwards."""
    place = restored_place(alias, record)
    room.token(alias).store.destroy(label=place.label, key_id=place.key_id)
    room.effect({"purged": place.facts})


def _challenge(room: Room, signer: Signer, record: BackupRecord) -> None:
    if spki_sha256(signer.public_key) != hashlib.sha256(bytes.fromhex(record.spki)).hexdigest():
        raise refuse(Kind.CONFLICT, "CEREMONY-BACKUP", "the device has another public key than the backup's")
    algorithm = default_algorithm(signer.key_type)
    path = f"challenges/{room.step}.txt"
    # A try that was cut off may have signed it: like a certificate, only the same is ever signed again.
    text = room.folder.read(path) if room.folder.has(path) else _challenge_text(room, record)
    if not text.startswith(f"{CHALLENGE}\n".encode()):
        raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", f"{path} is not the challenge of this step")
    room.write(path, text)
    room.write(f"challenges/{room.step}.spki", bytes.fromhex(record.spki))
    room.effect(
        {
            "key_spki_sha256": spki_sha256(signer.public_key),
            "mechanism": algorithm,
            "input": path,
            "input_sha256": hashlib.sha256(text).hexdigest(),
            "output": signer.sign(text, algorithm).hex(),
            "released": False,
        }
    )


def _challenge_text(room: Room, record: BackupRecord) -> bytes:
    lines = [
        CHALLENGE,
        f"ceremony: {room.script.id}",
        f"step: {room.step}",
        f"key: {record.label}",
        f"nonce: {secrets.token_hex(16)}",
        f"time: {to_text(room.clock.now())}",
        "",
    ]
    return "\n".join(lines).encode()
