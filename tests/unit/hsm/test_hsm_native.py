"""PKCS#11's own structures in ctypes: their layout, and libraries that are no module."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from ca_server.hsm import native
from ca_server.hsm.port import HsmRefused


def test_structures_are_laid_out_as_a_c_compiler_does_on_a_64_bit_unix():
    # offsetof and sizeof by gcc over the pkcs11.h of p11-kit
    info = native._TokenInfo
    assert ctypes.sizeof(info) == 208
    assert (info.flags.offset, info.longest_pin.offset, info.shortest_pin.offset) == (96, 136, 144)
    assert native._FunctionList.functions.offset == 8


@pytest.mark.parametrize("library", ["libc.so.6", "/nonexistent/module.so"])
def test_a_library_that_is_no_module_is_refused(library):
    with pytest.raises(HsmRefused, match="not a PKCS#11 module"):
        native.pin_lengths(Path(library), 0)
    with pytest.raises(HsmRefused, match="not a PKCS#11 module"):
        native.init_token(Path(library), 0, "label", "pin")
