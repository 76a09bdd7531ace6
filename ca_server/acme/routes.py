"""Every route of this door: who must sign, and what; with a route that is not here nothing starts (R21)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Proof(StrEnum):
    """Who must have signed a request (RFC 8555 §6.2)."""

    NONE = "none"
    ACCOUNT = "kid"
    NEW_KEY = "jwk"
    ACCOUNT_OR_KEY = "either"


class Payload(StrEnum):
    """What a signed request holds: nothing makes it a POST-as-GET (RFC 8555 §6.3)."""

    NOTHING = "nothing"
    OBJECT = "object"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Route:
    """What a route asks of a request."""

    proof: Proof
    payload: Payload = Payload.NOTHING


_ANYBODY = Route(Proof.NONE)
_READ = Route(Proof.ACCOUNT)
_READ_OR_CHANGE = Route(Proof.ACCOUNT, Payload.EITHER)
_DO = Route(Proof.ACCOUNT, Payload.OBJECT)

ROUTES: dict[str, Route] = {
    "directory.show_directory": _ANYBODY,
    "directory.new_nonce": _ANYBODY,
    "accounts.new_account": Route(Proof.NEW_KEY, Payload.OBJECT),
    "accounts.account": _READ_OR_CHANGE,
    "accounts.list_orders": _READ,
    "accounts.key_change": _DO,
    "orders.new_order": _DO,
    "orders.show_order": _READ,
    "orders.finalize_order": _DO,
    "authorizations.new_authorization": _DO,
    "authorizations.authorization": _READ_OR_CHANGE,
    "authorizations.challenge": _READ_OR_CHANGE,
    "certificates.show_certificate": _READ,
    "certificates.show_alternate": _READ,
    "certificates.revoke": Route(Proof.ACCOUNT_OR_KEY, Payload.OBJECT),
    "certificates.renewal_information": _ANYBODY,
}
