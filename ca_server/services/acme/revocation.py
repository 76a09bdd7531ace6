"""Revocation by ACME (RFC 8555 §7.6): by who ordered, by who holds all names now, by the key's holder.

Here it is judged who may; what a revocation is, is one thing under all protocols (`services.revoke`, R14).
"""

from __future__ import annotations

import hashlib

from cryptography import x509

from ca_server.core.acme.coverage import names_above, proven_names
from ca_server.core.acme.resources import Account, ChallengeType
from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.identifiers import parse_identifier
from ca_server.core.jose import Jwk
from ca_server.services.acme.accounts import principal_of
from ca_server.services.context import Context
from ca_server.services.revoke import refusal_event, revoke_found
from ca_server.store import authorizations, inventory, rate_limits
from ca_server.store.inventory import CertificateRecord
from ca_server.store.rate_limits import bucket_of

# RFC 5280 §5.3.1 by number. Not by ACME: a hold and its end (6, 8), what says that one of our authorities is
# lost (2, 10), and 7, which is nothing.
_REASONS = {
    0: x509.ReasonFlags.unspecified.value,
    1: x509.ReasonFlags.key_compromise.value,
    3: x509.ReasonFlags.affiliation_changed.value,
    4: x509.ReasonFlags.superseded.value,
    5: x509.ReasonFlags.cessation_of_operation.value,
    9: x509.ReasonFlags.privilege_withdrawn.value,
}
_KEY_COMPROMISE = 1

# So many refusals of one certificate are written down in an hour: anybody may ask, as often as they like.
_WRITTEN_REFUSALS = bucket_of(10, 3600)


def revoke_by_account(context: Context, account: Account, der: bytes, reason: int | None) -> None:
    """Revoke for the account that ordered the certificate, or for one that holds all of its names now.

    `reason` is the number of RFC 5280 §5.3.1. That a key is compromised, and so is banned for ever, is for
    whoever has it to say: the account that ordered, or the key itself.

    Raises:
        CaError: not_found, `ACME-CERTIFICATE`; malformed, `ACME-REASON`; forbidden, `ACME-REVOKE-ACCOUNT`;
            already_revoked, `REVOKE-ALREADY`; unavailable.
    """
    principal = principal_of(account)
    found = _find(context, der)
    is_owner = found.principal_id == principal.id
    try:
        if not is_owner and not _holds_all_names(context, account, found):
            raise refuse(
                Kind.FORBIDDEN,
                "ACME-REVOKE-ACCOUNT",
                "this account neither ordered the certificate nor holds authorizations for all of its names",
            )
        revoke_found(context, principal, found, _word(reason, _REASONS if is_owner else _without_key()))
    except CaError as error:
        _write_down(context, principal, found, error)
        raise


def revoke_by_key(context: Context, jwk: Jwk, der: bytes, reason: int | None) -> None:
    """Revoke for whoever has the certificate's private key, which has signed the request.

    Raises:
        CaError: not_found, `ACME-CERTIFICATE`; malformed, `ACME-REASON`; forbidden, `ACME-REVOKE-KEY`;
            already_revoked, `REVOKE-ALREADY`; unavailable.
    """
    principal = Principal(f"certificate-key:{jwk.spki_sha256}", Role.REQUESTER, "certificate-key")
    found = _find(context, der)
    try:
        if jwk.spki_sha256 != found.spki_sha256:
            raise refuse(
                Kind.FORBIDDEN, "ACME-REVOKE-KEY", "the request is not signed by the certificate's own key"
            )
        revoke_found(context, principal, found, _word(reason, _REASONS))
    except CaError as error:
        _write_down(context, principal, found, error)
        raise


def _find(context: Context, der: bytes) -> CertificateRecord:
    """The certificate that we issued and that is these very bytes; nothing else is even parsed."""
    with context.database.read() as connection:
        found = inventory.find_certificate(connection, hashlib.sha256(der).hexdigest())
    if found is None:
        raise refuse(
            Kind.NOT_FOUND,
            "ACME-CERTIFICATE",
            "no such certificate was issued here; send it as it was issued, in DER",
            pointer="/certificate",
        )
    return found


def _holds_all_names(context: Context, account: Account, found: CertificateRecord) -> bool:
    """Whether valid authorizations of the account stand for every name, each counted by itself (R11)."""
    names = [parse_identifier(each) for each in found.names]
    if not names:
        return False
    standing = sorted({above for name in names for above in names_above(name)})
    with context.database.read() as connection:
        valid = authorizations.find_valid(connection, account.id, standing, to_epoch(context.clock.now()))
    return proven_names(names, valid, tuple(ChallengeType)) == frozenset(names)


def _without_key() -> dict[int, str]:
    return {number: word for number, word in _REASONS.items() if number != _KEY_COMPROMISE}


def _word(reason: int | None, accepted: dict[int, str]) -> str:
    word = accepted.get(0 if reason is None else reason)
    if word is None:
        listed = ", ".join(f"{number} {each}" for number, each in accepted.items())
        raise refuse(Kind.MALFORMED, "ACME-REASON", f"reasons accepted here are {listed}", pointer="/reason")
    return word


def _write_down(context: Context, principal: Principal, found: CertificateRecord, error: CaError) -> None:
    """Say in the log who was turned away, unless it was said often enough; an outage turned nobody away."""
    if not error.rule_ids:
        return
    now = to_epoch(context.clock.now()) * 1000
    with context.database.write() as unit:
        if rate_limits.pour(unit, "revocation_refusals", found.id, _WRITTEN_REFUSALS, now) is None:
            unit.commit(refusal_event(context, principal, found, error))
