"""Single calls on a token's session: find, describe, generate, destroy, sign.

Every function here makes its calls in the session it is given, once, and turns whatever the token answers
into a `Fault`. Whether to call again is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import pkcs11
from pkcs11 import Attribute, ObjectClass

from ca_server.core.signatures import PublicKey, key_type_of
from ca_server.hsm import mechanisms
from ca_server.hsm.faults import KeyAbsent, fault_of
from ca_server.hsm.port import HsmRefused, KeyRecord, TokenRecord

_P = ParamSpec("_P")
_R = TypeVar("_R")

Session = pkcs11.Session
# python-pkcs11 builds a class for each object, so that its type says nothing.
PrivateKey = Any

_READ_BACK = (
    *mechanisms.PRIVATE_TEMPLATE,
    *mechanisms.VOUCHED,
    *("LABEL", "ID", "KEY_TYPE", "MODULUS", "PUBLIC_EXPONENT", "WRAP_WITH_TRUSTED"),
)
PUBLIC_PARTS = ("KEY_TYPE", "EC_PARAMS", "EC_POINT", "MODULUS", "PUBLIC_EXPONENT", "PARAMETER_SET", "VALUE")


def sorted_out(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a call raise a `Fault` where it would raise an error of PKCS#11."""

    @wraps(call)
    def wrapped(*arguments: _P.args, **keywords: _P.kwargs) -> _R:
        try:
            return call(*arguments, **keywords)
        except pkcs11.PKCS11Error as error:
            raise fault_of(error) from error

    return wrapped


@sorted_out
def describe(session: Session) -> TokenRecord:
    """The token as it describes itself."""
    return describe_token(session.token)


def describe_token(token: pkcs11.Token) -> TokenRecord:
    """The same without a session, as of a token that is not initialised."""
    return TokenRecord(
        label=token.label,
        serial=token.serial.decode("utf-8", "replace"),
        manufacturer=token.manufacturer_id,
        model=token.model,
        firmware="{}.{}".format(*token.firmware_version),
        mechanisms=frozenset(
            known.name if isinstance(known, pkcs11.Mechanism) else f"0x{known:08x}"
            for known in token.slot.get_mechanisms()
        ),
        flags=frozenset(flag.name.lower().replace("_", "-") for flag in token.flags if flag.name),
    )


@sorted_out
def private_keys(session: Session) -> tuple[KeyRecord, ...]:
    """Every private key on the token, ordered by label and id."""
    records = [_record(session, key) for key in search(session, ObjectClass.PRIVATE_KEY)]
    return tuple(sorted(records, key=lambda record: (record.label, record.key_id)))


@sorted_out
def find(session: Session, label: str | None, key_id: bytes | None) -> PrivateKey:
    """The one private key with this label, id or both.

    Raises:
        KeyAbsent: there is none.
        HsmRefused: there are several, or it does not sign.
    """
    found = search(session, ObjectClass.PRIVATE_KEY, label, key_id)
    name = " ".join(filter(None, (label, key_id.hex() if key_id else None)))
    if not found:
        raise KeyAbsent(name)
    if len(found) > 1:
        raise HsmRefused(f"{len(found)} keys are named {name}; give label and id")
    if not hasattr(found[0], "sign"):
        raise HsmRefused(f"the key {name} is not one that signs")
    return found[0]


@sorted_out
def record_of(session: Session, key: PrivateKey) -> KeyRecord:
    """A private key as the token describes it, with its public half."""
    return _record(session, key)


@sorted_out
def demand_free(session: Session, label: str, key_id: bytes) -> None:
    """Refuse a label or an id that a key of the token already has.

    Raises:
        HsmRefused: one of them is taken.
    """
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        if search(session, kind, label=label) or search(session, kind, key_id=key_id):
            raise HsmRefused(f"the label {label} or the id {key_id.hex()} is taken")


@sorted_out
def generate(
    session: Session, plan: mechanisms.Generation, label: str, key_id: bytes, *, wrappable: bool = False
) -> KeyRecord:
    """Make a key pair and read its attributes back.

    A `wrappable` one may leave the token under a wrapping key that its security officer trusts.

    Raises:
        HsmRefused: an attribute came back weaker than asked for; the pair is destroyed again.
    """
    names = {Attribute.LABEL: label, Attribute.ID: key_id}
    wanted = mechanisms.WRAPPABLE_TEMPLATE if wrappable else mechanisms.PRIVATE_TEMPLATE
    vouched = mechanisms.WRAPPABLE_VOUCHED if wrappable else mechanisms.VOUCHED
    public, private = session.generate_keypair(
        pkcs11.KeyType[plan.kind],
        plan.key_length,
        mechanism=pkcs11.Mechanism[plan.mechanism],
        capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
        public_template=names | template_of(mechanisms.PUBLIC_TEMPLATE) | template_of(plan.parameters or {}),
        private_template=names | template_of(wanted),
    )
    weak = mechanisms.weaknesses(attributes_of(private, _READ_BACK), {**wanted, **vouched})
    if weak:
        public.destroy()
        private.destroy()
        raise HsmRefused(f"the token made a key weaker than asked ({', '.join(weak)}); it was destroyed")
    return _record(session, private)


@sorted_out
def destroy(session: Session, label: str, key_id: bytes) -> None:
    """Remove a key pair; the public half first, so that a pair of which half is left is still found."""
    private = find(session, label, key_id)
    for public in search(session, ObjectClass.PUBLIC_KEY, label, key_id):
        public.destroy()
    private.destroy()


@sorted_out
def sign(key: PrivateKey, plan: mechanisms.Signing, message: bytes) -> bytes:
    """The token's raw answer over a message that `plan` has prepared."""
    parameters = None
    if plan.pss is not None:
        digest, mask, salt = plan.pss
        parameters = (pkcs11.Mechanism[digest], pkcs11.MGF[mask], salt)
    return bytes(key.sign(message, mechanism=pkcs11.Mechanism[plan.mechanism], mechanism_param=parameters))


@sorted_out
def random(session: Session, count: int) -> bytes:
    """`count` bytes; python-pkcs11 counts bits."""
    return bytes(session.generate_random(8 * count))


def search(
    session: Session, kind: ObjectClass | None, label: str | None = None, key_id: bytes | None = None
) -> list[Any]:
    """Objects of one class or of all.

    A list, since a search that is not read to its end blocks the session.
    """
    touch(session)
    wanted: dict[Attribute, object] = {} if kind is None else {Attribute.CLASS: kind}
    if label is not None:
        wanted[Attribute.LABEL] = _text(label)
    if key_id is not None:
        wanted[Attribute.ID] = key_id
    return list(session.get_objects(wanted))


def _text(label: str) -> str:
    """A label that can be encoded; python-pkcs11 brings the process down over one that cannot."""
    try:
        label.encode("utf-8")
    except UnicodeEncodeError as error:
        raise HsmRefused("a label that is not text names no key") from error
    return label


def touch(session: Session) -> None:
    """Fail on a dead session before a search does: python-pkcs11 never ends a search that could not begin."""
    with suppress(pkcs11.RandomNoRNG):
        session.generate_random(8)


def _record(session: Session, key: PrivateKey) -> KeyRecord:
    attributes = attributes_of(key, _READ_BACK)
    public_key = public_half(session, attributes)
    return KeyRecord(
        label=attributes.get("LABEL", ""),
        key_id=attributes.get("ID", b""),
        key_type=key_type_of(public_key),
        public_key=public_key,
        private=attributes.get("PRIVATE", False),
        sensitive=attributes.get("SENSITIVE", False),
        always_sensitive=attributes.get("ALWAYS_SENSITIVE", False),
        extractable=attributes.get("EXTRACTABLE", True),
        never_extractable=attributes.get("NEVER_EXTRACTABLE", False),
        local=attributes.get("LOCAL", False),
        wrap_with_trusted=attributes.get("WRAP_WITH_TRUSTED", False),
    )


def public_half(session: Session, private: Mapping[str, Any]) -> PublicKey | None:
    """The public key with the same id and kind; None where there is none, or where several differ."""
    key_id = private.get("ID", b"")
    candidates = search(session, ObjectClass.PUBLIC_KEY, key_id=key_id) if key_id else []
    # An RSA private key carries its public numbers itself.
    parts = [*(attributes_of(candidate, PUBLIC_PARTS) for candidate in candidates), dict(private)]
    kind = kind_of(private)
    keys = [mechanisms.public_key_of(kind, part) for part in parts if kind_of(part) == kind]
    known = [key for key in keys if key is not None]
    return known[0] if known and all(key == known[0] for key in known) else None


def kind_of(attributes: Mapping[str, Any]) -> str:
    """The name of CKA_KEY_TYPE without its `CKK_`."""
    number = attributes.get("KEY_TYPE")
    return next((known.name for known in pkcs11.KeyType if known == number), "vendor-defined")


def attributes_of(thing: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Attributes by name; those that the token does not know are left out."""
    found = thing.get_attributes([Attribute[name] for name in names])
    return {name: found[Attribute[name]] for name in names if Attribute[name] in found}


def template_of(values: Mapping[str, object]) -> dict[Attribute, object]:
    """A template as python-pkcs11 wants it, from attributes by name."""
    return {Attribute[name]: value for name, value in values.items()}
