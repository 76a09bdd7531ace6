"""Base 64 in exactly one spelling (RFC 4648 §4), so that no two texts mean the same bytes."""

from __future__ import annotations

import base64
import binascii


def encode_base64(data: bytes) -> str:
    """The standard encoding, with padding."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes | None:
    """The bytes of a standard encoding, or None; stray bits, missing padding and line ends are refused."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return data if encode_base64(data) == text else None
