"""The two calls of PKCS#11 that python-pkcs11 does not offer: C_InitToken, and the lengths of a PIN.

They are made by ctypes on the very module that python-pkcs11 has loaded and initialised: loading a library
a second time gives the first one again, with its state (dlopen(3)). Only `C_GetFunctionList` is looked up
by its name, the one that a module must export (PKCS#11 v3.1); the others stand in its list, whose
order never changes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from ca_server.hsm.port import HsmRefused

LABEL_BYTES = 32
_OK = 0
# Places in CK_FUNCTION_LIST (PKCS#11 v3.1, pkcs11f.h), counted from C_Initialize.
_GET_TOKEN_INFO = 6
_INIT_TOKEN = 9
_FUNCTIONS = 68
# Return values that say what to mend (PKCS#11 v3.1, pkcs11t.h).
_REASONS = {
    0xA0: "PinIncorrect",
    0xA1: "PinInvalid",
    0xA2: "PinLenRange",
    0xA4: "PinLocked",
    0xB6: "SessionExists",
    0xE0: "TokenNotPresent",
    0xE2: "TokenWriteProtected",
    0x54: "FunctionNotSupported",
}

_Ulong = ctypes.c_ulong


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * _FUNCTIONS))


class _TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO (PKCS#11 v3.1, pkcs11t.h)."""

    _fields_ = (
        ("texts", ctypes.c_ubyte * (32 + 32 + 16 + 16)),
        ("flags", _Ulong),
        ("sessions", _Ulong * 4),
        ("longest_pin", _Ulong),
        ("shortest_pin", _Ulong),
        ("memory", _Ulong * 4),
        ("versions", ctypes.c_ubyte * 4),
        ("time", ctypes.c_ubyte * 16),
    )


@dataclass(frozen=True, slots=True)
class PinLengths:
    """The shortest and the longest PIN that a token takes, in octets."""

    shortest: int
    longest: int


_GetFunctionList = ctypes.CFUNCTYPE(_Ulong, ctypes.POINTER(ctypes.POINTER(_FunctionList)))
_GetTokenInfo = ctypes.CFUNCTYPE(_Ulong, _Ulong, ctypes.POINTER(_TokenInfo))
_InitToken = ctypes.CFUNCTYPE(_Ulong, _Ulong, ctypes.c_char_p, _Ulong, ctypes.c_char_p)


def pin_lengths(module: Path, slot: int) -> PinLengths:
    """How long a PIN of the token in this slot may be; the module is initialised.

    Raises:
        HsmRefused: the token does not say.
    """
    info = _TokenInfo()
    answer = _GetTokenInfo(_function(module, _GET_TOKEN_INFO))(slot, ctypes.byref(info))
    if answer != _OK:
        raise HsmRefused(f"the token in slot {slot} does not describe itself ({_reason(answer)})")
    return PinLengths(int(info.shortest_pin), int(info.longest_pin))


def init_token(module: Path, slot: int, label: str, so_pin: str) -> None:
    """C_InitToken: everything in the token is destroyed, and its security officer's PIN and label are set.

    A token that is initialised already wants the PIN that its security officer has (PKCS#11 v3.1).
    No session with the token is open, and the module is initialised.

    Raises:
        HsmRefused: the token will not, or the PIN is not its security officer's; nothing changed.
    """
    name = label.encode()
    assert len(name) <= LABEL_BYTES
    pin = so_pin.encode()
    call = _InitToken(_function(module, _INIT_TOKEN))
    answer = call(slot, pin, len(pin), name.ljust(LABEL_BYTES))
    if answer != _OK:
        raise HsmRefused(f"the token in slot {slot} was not initialised ({_reason(answer)})")


def _function(module: Path, place: int) -> int:
    listed = ctypes.POINTER(_FunctionList)()
    try:
        look_up = _GetFunctionList(("C_GetFunctionList", ctypes.CDLL(str(module))))
    except (OSError, AttributeError) as error:
        raise HsmRefused(f"{module} is not a PKCS#11 module that can be loaded") from error
    answer = look_up(ctypes.byref(listed))
    if answer != _OK or not listed:
        raise HsmRefused(f"{module} does not list its functions ({_reason(answer)})")
    pointer = listed.contents.functions[place]
    if not pointer:
        raise HsmRefused(f"{module} lacks a function that it must have")
    return int(pointer)


def _reason(answer: int) -> str:
    return _REASONS.get(answer, f"0x{answer:x}")
