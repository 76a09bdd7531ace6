"""Names a certificate may carry, in one canonical form, so that sets of them can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IdentifierType(StrEnum):
    """One word for each GeneralName type (RFC 5280 §4.2.1.6)."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"
    DIRECTORY = "directory"
    REGISTERED_ID = "registered-id"
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """A name in canonical form: DNS lower-case A-labels, IP compressed, others as RFC 5280 writes them.

    The value of a directory or other name is the lower-case hex of its DER.
    """

    type: IdentifierType
    value: str

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"
