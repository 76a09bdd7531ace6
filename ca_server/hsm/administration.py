"""What a token's security officer does: initialise it, erase it, change PINs, trust a wrapping key.

None of it needs an open `KeyStore`, and none of it goes beside one: the token is closed in this process
first. Each call is made once; what is open after a failure is said in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pkcs11

from ca_server.hsm import ceremony_objects, native
from ca_server.hsm.ceremony_port import (
    WRAPPING_KEY_BYTES,
    ObjectRecord,
    SecurityOfficer,
    SlotRecord,
    TokenPins,
)
from ca_server.hsm.faults import Fault, TokenRefused
from ca_server.hsm.library import library_for
from ca_server.hsm.objects import Session, describe, describe_token, sorted_out
from ca_server.hsm.port import HsmRefused, HsmUnavailable, TokenRecord
from ca_server.hsm.settings import TokenSettings
from ca_server.hsm.uri import KeyUri

_Answer = TypeVar("_Answer")

_PIN_ERRORS = frozenset({"PinIncorrect", "PinInvalid", "PinLenRange", "PinExpired", "PinLocked"})


def slots(module: Path) -> tuple[SlotRecord, ...]:
    """Every token of a module, also those that are not initialised, in the module's order.

    Raises:
        HsmRefused: a token of the module is open in this process, or a token does not describe itself.
        HsmUnavailable: the module does not start.
    """
    with library_for(module).alone() as found:
        return tuple(_slot_record(module, slot) for slot in found)


def initialise_token(
    module: Path, label: str, pins: TokenPins, *, serial: str | None = None, again: bool = False
) -> TokenRecord:
    """Give a token its label and its two PINs, and see that nothing else is in it.

    Without `serial` it is the one token that is not initialised. One that is, is reset only with `again`;
    then `pins.officer` is the PIN that its security officer has, and stays. SoftHSM gives a token that is
    reset another serial number: what is returned was read back.

    Raises:
        HsmRefused: no such token or several, it is initialised already, its label is taken, a PIN is
            refused, or something is left in it.
        HsmUnavailable: it is open how far it came; initialise it again.
    """
    KeyUri(label, label="any")
    with library_for(module).alone() as found:
        slot = _choose(found, serial, again=again)
        others = [each for each in found if each.slot_id != slot.slot_id]
        if any(_initialised(each) and each.get_token().label == label for each in others):
            raise HsmRefused(f"another token has the label {label} already")
        lengths = native.pin_lengths(module, slot.slot_id)
        for pin in (pins.officer, pins.user):
            if not lengths.shortest <= len(pin.encode()) <= lengths.longest:
                raise HsmRefused(f"the token takes PINs of {lengths.shortest} to {lengths.longest} octets")
        native.init_token(module, slot.slot_id, label, pins.officer)
    with library_for(module).visit(label, so_pin=pins.officer) as session:
        _act(label, lambda: _init_pin(session, pins.user))
    with library_for(module).visit(label, user_pin=pins.user) as session:
        left = _act(label, lambda: ceremony_objects.everything(session))
        if left:
            raise HsmRefused(f"the token {label} holds {len(left)} objects after it was initialised")
        return _act(label, lambda: describe(session))


def zeroise_token(module: Path, label: str, so_pin: str, *, new_label: str) -> TokenRecord:
    """Destroy everything in a token and leave it without a user's PIN, under a label that says so.

    Raises:
        HsmRefused: no such token, or the PIN is not its security officer's; or something is left in it.
        HsmUnavailable: the module does not start.
    """
    KeyUri(new_label, label="any")
    with library_for(module).alone() as found:
        slot = _one([each for each in found if _initialised(each) and each.get_token().label == label], label)
        native.init_token(module, slot.slot_id, new_label, so_pin)
    with library_for(module).visit(new_label) as session:
        left = _act(new_label, lambda: ceremony_objects.everything(session))
        record = _act(new_label, lambda: describe(session))
    if left or "user-pin-initialized" in record.flags:
        raise HsmRefused(f"the token {new_label} still holds {len(left)} objects or a user's PIN")
    return record


def change_user_pin(settings: TokenSettings, new_pin: str) -> None:
    """Put a new PIN in the place of the user's; `settings` name the token and the old one.

    Raises:
        HsmRefused: the token is open, or refuses a PIN; the old one holds.
        HsmUnavailable: the token is away, or it is open which PIN holds.
    """
    old = settings.pin.read()
    with library_for(settings.module).visit(settings.token, user_pin=old) as session:
        _act(settings.token, lambda: _set_pin(session, old, new_pin))


def change_so_pin(settings: TokenSettings, new_pin: str) -> None:
    """Put a new PIN in the place of the security officer's, which `settings` name.

    Raises:
        What `change_user_pin` raises.
    """
    old = settings.pin.read()
    with library_for(settings.module).visit(settings.token, so_pin=old) as session:
        _act(settings.token, lambda: _set_pin(session, old, new_pin))


@contextmanager
def security_officer(settings: TokenSettings) -> Iterator[SecurityOfficer]:
    """A token's security officer, logged in until the block ends; the PIN of `settings` is theirs.

    Raises:
        HsmRefused: the token is open in this process, or refused the PIN, which is tried once.
        HsmUnavailable: the token is away.
    """
    with library_for(settings.module).visit(settings.token, so_pin=settings.pin.read()) as session:
        yield _TokenOfficer(settings.token, session)


class _TokenOfficer:
    """The `SecurityOfficer` of one token; the port says what each method does."""

    def __init__(self, label: str, session: Session) -> None:
        self._label = label
        self._session = session

    def load_wrapping_key(self, value: bytes, *, label: str, key_id: bytes) -> ObjectRecord:
        if len(value) != WRAPPING_KEY_BYTES:
            raise ValueError(f"a wrapping key has {WRAPPING_KEY_BYTES} octets")
        KeyUri(self._label, label, key_id)
        return _act(
            self._label, lambda: ceremony_objects.load_wrapping_key(self._session, value, label, key_id)
        )

    def set_user_pin(self, pin: str) -> None:
        _act(self._label, lambda: _init_pin(self._session, pin))


def _choose(found: tuple[pkcs11.Slot, ...], serial: str | None, *, again: bool) -> pkcs11.Slot:
    if serial is None:
        return _one([slot for slot in found if not _initialised(slot)], "that is not initialised")
    slot = _one([slot for slot in found if describe_token(slot.get_token()).serial == serial], serial)
    if _initialised(slot) and not again:
        raise HsmRefused(
            f"the token {serial} is initialised, as {slot.get_token().label}; resetting it destroys its keys"
        )
    return slot


def _one(found: list[pkcs11.Slot], name: str) -> pkcs11.Slot:
    if len(found) != 1:
        raise HsmRefused(f"there are {len(found) or 'no'} tokens {name}; one is needed")
    return found[0]


def _initialised(slot: pkcs11.Slot) -> bool:
    return bool(slot.get_token().flags & pkcs11.TokenFlag.TOKEN_INITIALIZED)


def _slot_record(module: Path, slot: pkcs11.Slot) -> SlotRecord:
    lengths = native.pin_lengths(module, slot.slot_id)
    return SlotRecord(describe_token(slot.get_token()), _initialised(slot), lengths.shortest, lengths.longest)


@sorted_out
def _init_pin(session: Session, pin: str) -> None:
    session.init_pin(pin)


@sorted_out
def _set_pin(session: Session, old: str, new: str) -> None:
    session.set_pin(old, new)


def _act(label: str, call: Callable[[], _Answer]) -> _Answer:
    """Make one call, and tell a refusal from a failure."""
    try:
        return call()
    except Fault as error:
        if isinstance(error, TokenRefused) or str(error) in _PIN_ERRORS:
            raise HsmRefused(f"the token {label} refused ({error})") from error
        raise HsmUnavailable(f"the token {label} failed ({error}); it is open what it did") from error
