"""What is needed to open a token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ca_server.hsm.pin import PinSource


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """One token: the vendor's PKCS#11 library, the token's label, and where its PIN comes from."""

    module: Path
    token: str
    pin: PinSource
