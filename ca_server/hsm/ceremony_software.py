"""The ceremony's store and its security officer in memory, for tests: the same contract, no protection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from ca_server.core.signatures import KeyType, PublicKey, key_type_of
from ca_server.hsm import mechanisms
from ca_server.hsm.ceremony_port import WRAPPING_KEY_BYTES, ObjectRecord, SecurityOfficer, check_value
from ca_server.hsm.port import HsmRefused, KeyRecord
from ca_server.hsm.software import Key, SoftwareKeyStore

_PRIVATE_FLAGS = ("always_sensitive", "extractable", "local", "never_extractable", "private", "sensitive")


@dataclass(frozen=True, slots=True)
class _WrappingKey:
    label: str
    key_id: bytes
    value: bytes = field(repr=False)


class SoftwareCeremonyStore(SoftwareKeyStore):
    """A `CeremonyStore` whose keys are ordinary objects of this process."""

    def __init__(self, label: str, *, unprotected_keys: bool = False) -> None:
        super().__init__(label, unprotected_keys=unprotected_keys)
        self._wrapping_keys: list[_WrappingKey] = []

    def objects(self) -> tuple[ObjectRecord, ...]:
        """Both halves of every pair and every wrapping key, as a token would list them."""
        self.check_caller()
        records = [_wrapping_record(key) for key in self._wrapping_keys]
        for key in self._keys:
            records += _pair_records(key.record)
        return tuple(
            sorted(records, key=lambda each: (each.object_class, each.label, each.key_id, each.fingerprint))
        )

    def generate_wrappable(self, key_type: KeyType, *, label: str, key_id: bytes) -> KeyRecord:
        """Make a key pair that may leave under a wrapping key."""
        mechanisms.demand_wrappable(key_type)
        self.generate(key_type, label=label, key_id=key_id)
        made = self._keys.pop()
        record = replace(made.record, extractable=True, never_extractable=False, wrap_with_trusted=True)
        self._keys.append(Key(record, made.private))
        return record

    def wrap(self, *, label: str, key_id: bytes, wrapping_key: str) -> bytes:
        """The private key as PKCS#8 under a wrapping key (RFC 5649)."""
        self.check_caller()
        key = self.find(label, key_id)
        if not key.record.extractable:
            raise HsmRefused(f"the key {label} never leaves")
        plain = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return aes_key_wrap_with_padding(self._wrapping_key(wrapping_key).value, plain)

    def unwrap(
        self, blob: bytes, public_key: PublicKey, *, label: str, key_id: bytes, wrapping_key: str
    ) -> KeyRecord:
        """Put a wrapped key on the token."""
        self.check_caller()
        self.demand_free(label, key_id)
        mechanisms.public_attributes(public_key)
        try:
            plain = aes_key_unwrap_with_padding(self._wrapping_key(wrapping_key).value, blob)
            private = load_der_private_key(plain, None)
        except (InvalidUnwrap, ValueError) as error:
            raise HsmRefused(f"{label} is not wrapped under {wrapping_key}") from error
        if private.public_key() != public_key:
            raise HsmRefused("the halves of the key do not fit each other")
        record = KeyRecord(
            label=label,
            key_id=key_id,
            key_type=key_type_of(public_key),
            public_key=public_key,
            private=True,
            sensitive=True,
            always_sensitive=False,
            extractable=True,
            never_extractable=False,
            local=False,
            wrap_with_trusted=True,
        )
        self._keys.append(Key(record, private))
        return record

    def untrusted_wrapping_refusal(self, *, label: str, key_id: bytes) -> str:
        """What a token says to a wrapping key that nobody trusts."""
        self.check_caller()
        if not self.find(label, key_id).record.extractable:
            return "KeyUnextractable"
        return "KeyNotWrappable"

    def destroy_wrapping_key(self, *, label: str) -> None:
        """Remove a wrapping key."""
        self.check_caller()
        self._wrapping_keys.remove(self._wrapping_key(label))

    @contextmanager
    def security_officer(self) -> Iterator[SecurityOfficer]:
        """The officer of this token, who knows no PIN here."""
        self.check_caller()
        yield _SoftwareOfficer(self._wrapping_keys)

    def close(self) -> None:
        """Forget every key."""
        super().close()
        self._wrapping_keys.clear()

    def _wrapping_key(self, label: str) -> _WrappingKey:
        found = [key for key in self._wrapping_keys if key.label == label]
        if not found:
            raise HsmRefused(f"the token has no wrapping keys {label}")
        return found[0]


class _SoftwareOfficer:
    """The `SecurityOfficer` of a token in memory; the port says what each method does."""

    def __init__(self, keys: list[_WrappingKey]) -> None:
        self._keys = keys

    def load_wrapping_key(self, value: bytes, *, label: str, key_id: bytes) -> ObjectRecord:
        if len(value) != WRAPPING_KEY_BYTES:
            raise ValueError(f"a wrapping key has {WRAPPING_KEY_BYTES} octets")
        if any(key.label == label for key in self._keys):
            raise HsmRefused(f"the token has a key {label} already")
        self._keys.append(_WrappingKey(label, key_id, value))
        return _wrapping_record(self._keys[-1])

    def set_user_pin(self, pin: str) -> None:
        if not pin:
            raise HsmRefused("the token refused (PinLenRange)")


def _wrapping_record(key: _WrappingKey) -> ObjectRecord:
    flags = [name for name, value in mechanisms.WRAPPING_TEMPLATE.items() if value and name != "TOKEN"]
    spelt = tuple(sorted(name.lower() for name in flags))
    return ObjectRecord("secret-key", key.label, key.key_id, "aes", check_value(key.value), spelt)


def _pair_records(record: KeyRecord) -> list[ObjectRecord]:
    assert record.public_key is not None
    spki = record.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest, kind = hashlib.sha256(spki).hexdigest(), str(record.key_type)
    held = [name.replace("_", "-") for name in _PRIVATE_FLAGS if getattr(record, name)]
    held += ["sign", *(["wrap-with-trusted"] if record.wrap_with_trusted else [])]
    public = ("local", "verify") if record.local else ("verify",)
    return [
        ObjectRecord("private-key", record.label, record.key_id, kind, digest, tuple(held)),
        ObjectRecord("public-key", record.label, record.key_id, kind, digest, public),
    ]
