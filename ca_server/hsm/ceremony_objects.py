"""Single calls on a token's session that only ceremonies make: list everything, wrap, unwrap, load a key.

As in `objects`, each is made once, and what the token answers becomes a `Fault`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, ObjectClass

from ca_server.core.signatures import PublicKey, key_type_of
from ca_server.hsm import mechanisms
from ca_server.hsm.ceremony_port import WRAPPING_KEY_BYTES, ObjectRecord, check_value
from ca_server.hsm.faults import TokenRefused
from ca_server.hsm.objects import (
    PUBLIC_PARTS,
    Session,
    attributes_of,
    find,
    kind_of,
    public_half,
    record_of,
    search,
    sorted_out,
    template_of,
)
from ca_server.hsm.port import HsmRefused, KeyRecord

_FLAGS = (
    *("ALWAYS_AUTHENTICATE", "ALWAYS_SENSITIVE", "COPYABLE", "DECRYPT", "DERIVE", "DESTROYABLE", "ENCRYPT"),
    *("EXTRACTABLE", "LOCAL", "MODIFIABLE", "NEVER_EXTRACTABLE", "PRIVATE", "SENSITIVE", "SIGN"),
    *("SIGN_RECOVER", "TRUSTED", "UNWRAP", "VERIFY", "VERIFY_RECOVER", "WRAP", "WRAP_WITH_TRUSTED"),
)
_NAMES = ("CLASS", "LABEL", "ID", "KEY_TYPE", "TOKEN", "MODULUS", "PUBLIC_EXPONENT")
_VALUED = frozenset({ObjectClass.CERTIFICATE, ObjectClass.DATA})
# What python-pkcs11 would add to every unwrapped key, and no private key has.
_NOT_OF_PRIVATE_KEYS = dict.fromkeys(
    (Attribute.ENCRYPT, Attribute.WRAP, Attribute.VERIFY), pkcs11.constants.DEFAULT
)
_KWP = pkcs11.Mechanism.AES_KEY_WRAP_PAD


@sorted_out
def everything(session: Session) -> tuple[ObjectRecord, ...]:
    """Every object that is kept on the token and that this session sees."""
    records = [
        _object_record(session, thing)
        for thing in search(session, None)
        if attributes_of(thing, ("TOKEN",)).get("TOKEN", True)
    ]
    return tuple(
        sorted(records, key=lambda each: (each.object_class, each.label, each.key_id, each.fingerprint))
    )


@sorted_out
def wrap(session: Session, label: str, key_id: bytes, wrapping_key: str) -> bytes:
    """The private key's blob under a wrapping key."""
    key = find(session, label, key_id)
    return bytes(_wrapping_key(session, wrapping_key).wrap_key(key, mechanism=_KWP))


@sorted_out
def wrap_untrusted(session: Session, label: str, key_id: bytes) -> str:
    """The token's refusal to wrap a key under one that lives in this session and that nobody trusts.

    Raises:
        HsmRefused: it wrapped the key.
    """
    key = find(session, label, key_id)
    stranger = session.generate_key(
        pkcs11.KeyType.AES,
        8 * WRAPPING_KEY_BYTES,
        mechanism=pkcs11.Mechanism.AES_KEY_GEN,
        capabilities=pkcs11.MechanismFlag.WRAP,
        template=template_of({"TOKEN": False, "PRIVATE": True, "SENSITIVE": True, "EXTRACTABLE": False}),
    )
    try:
        _try_wrap(stranger, key)
    except TokenRefused as error:
        return str(error)
    finally:
        stranger.destroy()
    raise HsmRefused(f"the token wraps {label} under a key that nobody trusts")


@sorted_out
def unwrap(
    session: Session, blob: bytes, public_key: PublicKey, names: tuple[str, bytes], wrapping_key: str
) -> KeyRecord:
    """Put a wrapped private key and its public half on the token, as (label, id), and read them back.

    Raises:
        HsmRefused: an attribute came back weaker, or the halves do not fit; both are destroyed again.
    """
    kind, parts = mechanisms.public_attributes(public_key)
    named = {Attribute.LABEL: names[0], Attribute.ID: names[1]}
    private = _wrapping_key(session, wrapping_key).unwrap_key(
        ObjectClass.PRIVATE_KEY,
        pkcs11.KeyType[kind],
        blob,
        mechanism=_KWP,
        template={**_NOT_OF_PRIVATE_KEYS, **named, **template_of(mechanisms.WRAPPABLE_TEMPLATE)},
    )
    made = [private]
    try:
        public = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: pkcs11.KeyType[kind], **named}
        made.append(
            session.create_object(public | template_of(mechanisms.PUBLIC_TEMPLATE) | template_of(parts))
        )
        _demand(private, mechanisms.WRAPPABLE_TEMPLATE)
        record = record_of(session, private)
        _demand_same(record.public_key, public_key, "the halves")
    except BaseException:
        for thing in made:
            thing.destroy()
        raise
    return record


@sorted_out
def load_wrapping_key(session: Session, value: bytes, label: str, key_id: bytes) -> ObjectRecord:
    """Make octets a trusted wrapping key, in a security officer's session.

    Raises:
        HsmRefused: the label is taken; or an attribute or the check value came back other than wanted, and
            the key was destroyed again.
    """
    if search(session, ObjectClass.SECRET_KEY, label):
        raise HsmRefused(f"the token has a key {label} already")
    key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: pkcs11.KeyType.AES,
            Attribute.LABEL: label,
            Attribute.ID: key_id,
            Attribute.VALUE: value,
            **template_of(mechanisms.WRAPPING_TEMPLATE),
        }
    )
    try:
        _demand(key, mechanisms.WRAPPING_TEMPLATE)
        record = _object_record(session, key)
        _demand_same(record.fingerprint or check_value(value), check_value(value), "the check values")
    except BaseException:
        key.destroy()
        raise
    return record


@sorted_out
def destroy_wrapping_key(session: Session, label: str) -> None:
    """Remove the one wrapping key of this label."""
    _wrapping_key(session, label).destroy()


@sorted_out
def _try_wrap(wrapping_key: Any, key: Any) -> None:
    wrapping_key.wrap_key(key, mechanism=_KWP)


def _wrapping_key(session: Session, label: str) -> Any:
    found = [
        key
        for key in search(session, ObjectClass.SECRET_KEY, label)
        if hasattr(key, "wrap_key") and hasattr(key, "unwrap_key")
    ]
    if len(found) != 1:
        raise HsmRefused(f"the token has {len(found) or 'no'} wrapping keys {label}")
    return found[0]


def _demand(key: Any, wanted: Mapping[str, bool]) -> None:
    weak = mechanisms.weaknesses(attributes_of(key, tuple(wanted)), wanted)
    if weak:
        raise HsmRefused(f"the token made a key other than asked ({', '.join(weak)}); it was destroyed")


def _demand_same(found: object, wanted: object, name: str) -> None:
    if found != wanted:
        raise HsmRefused(f"{name} of the key do not fit each other; it was destroyed")


def _object_record(session: Session, thing: Any) -> ObjectRecord:
    attributes = attributes_of(thing, _NAMES)
    object_class = attributes.get("CLASS")
    public_key = _public_key(session, thing, attributes)
    key_type = key_type_of(public_key) if public_key is not None else None
    flags = attributes_of(thing, _FLAGS)
    return ObjectRecord(
        object_class=_class_name(object_class),
        label=attributes.get("LABEL", ""),
        key_id=attributes.get("ID", b""),
        kind=key_type or (_spelt(kind_of(attributes)) if "KEY_TYPE" in attributes else ""),
        fingerprint=_fingerprint(thing, object_class, public_key),
        flags=tuple(_spelt(name) for name in _FLAGS if flags.get(name) is True),
    )


def _public_key(session: Session, thing: Any, attributes: dict[str, Any]) -> PublicKey | None:
    if attributes.get("CLASS") == ObjectClass.PRIVATE_KEY:
        return public_half(session, attributes)
    if attributes.get("CLASS") == ObjectClass.PUBLIC_KEY:
        return mechanisms.public_key_of(kind_of(attributes), attributes_of(thing, PUBLIC_PARTS))
    return None


def _fingerprint(thing: Any, object_class: object, public_key: PublicKey | None) -> str:
    if public_key is not None:
        spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).hexdigest()
    if object_class in _VALUED:
        value = attributes_of(thing, ("VALUE",)).get("VALUE")
        return hashlib.sha256(value).hexdigest() if value else ""
    if object_class == ObjectClass.SECRET_KEY:
        octets: bytes = attributes_of(thing, ("CHECK_VALUE",)).get("CHECK_VALUE", b"")
        return octets.hex()
    return ""


def _class_name(number: Any) -> str:
    return next((_spelt(known.name) for known in ObjectClass if known == number), "vendor-defined")


def _spelt(name: str) -> str:
    return name.lower().replace("_", "-")
