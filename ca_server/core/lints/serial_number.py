"""Serial numbers are long and random, positive, and fit in 20 octets (RFC 5280 §4.1.2.2, R12)."""

from __future__ import annotations

from ca_server.core.lints.inspected import Inspected

RULE = "HOUSE-SERIAL"
MAX_BITS = 159
# 159 random bits are shorter than this once in 2^63; a counter or a lost half always is.
MIN_BITS = 96


def check(inspected: Inspected) -> str | None:
    """Why the serial number cannot be a random one of ours, or None."""
    number = inspected.certificate.serial_number
    if number <= 0 or not MIN_BITS <= number.bit_length() <= MAX_BITS:
        return f"a serial number is positive and has {MIN_BITS} to {MAX_BITS} bits"
    return None
