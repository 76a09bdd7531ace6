"""External account keys (RFC 8555 §7.3.4): made by officers, and what they allow is all that accounts get.

A key's secret is shown once. It stays in the database, for an HMAC can be checked with nothing less, and
only for as long as the key can bind another account.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ca_server.core.authorization import Principal
from ca_server.core.base64url import encode_base64url
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.jose import Jwk, binding_refusal, external_binding_kid, verify_external_binding
from ca_server.core.roles import Action
from ca_server.services.access import require_permission
from ca_server.services.context import Context, actor_of, new_id
from ca_server.services.credentials import MAX_VALID, is_name, pattern_violations, require_held
from ca_server.store import external_accounts
from ca_server.store.external_accounts import ExternalAccountKey
from ca_server.store.unit_of_work import UnitOfWork

SECRET_BYTES = 32
MAX_USES = 1_000_000


@dataclass(frozen=True, slots=True)
class NewExternalAccountKey:
    """What a new key is to allow to accounts that it binds: for how long, and to how many of them."""

    owner: str
    profiles: tuple[str, ...]
    names: tuple[str, ...]
    valid: timedelta
    max_uses: int = 1


def create_external_account_key(
    context: Context, grantor: Principal, new: NewExternalAccountKey
) -> tuple[ExternalAccountKey, str]:
    """A new key and its secret in base64url, as clients want it; nobody is shown that again.

    Raises:
        CaError: forbidden, `ACCESS-ROLE` or `ACCESS-GRANTOR`; malformed, `ACCESS-NEW-...` or `ACME-EAB-NEW`.
    """
    require_permission(grantor, Action.CREATE_EXTERNAL_ACCOUNT_KEY)
    _require_well_formed(new)
    require_held(grantor, new.profiles, new.names)
    now = context.clock.now()
    key = ExternalAccountKey(
        id=f"eab-{new_id(now).replace('-', '')}",
        owner=new.owner,
        profiles=new.profiles,
        names=new.names,
        max_uses=new.max_uses,
        uses=0,
        created_at=to_epoch(now),
        not_after=to_epoch(now + new.valid),
        revoked_at=None,
    )
    secret = _new_secret()
    data = {
        "external_account_key": key.id,
        "owner": key.owner,
        "profiles": list(key.profiles),
        "names": list(key.names),
        "max_uses": key.max_uses,
        "not_after": key.not_after,
    }
    event = context.event("eab.created", actor_of(grantor), data)
    with context.database.write() as unit:
        external_accounts.insert_key(unit, key, secret, event.event_id)
        unit.commit(event)
    return key, encode_base64url(secret)


def list_external_account_keys(
    context: Context, reader: Principal, *, before: str | None, limit: int
) -> list[ExternalAccountKey]:
    """One page, newest first, ended ones too.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(reader, Action.READ_EXTERNAL_ACCOUNT_KEY)
    with context.database.read() as connection:
        return external_accounts.list_keys(connection, before=before, limit=limit)


def revoke_external_account_key(context: Context, principal: Principal, key_id: str) -> None:
    """End a key for ever: it binds nothing any more, and the accounts that it has bound cannot order.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; not_found, `ACME-EAB-UNKNOWN`, also when it was revoked before.
    """
    require_permission(principal, Action.REVOKE_EXTERNAL_ACCOUNT_KEY)
    with context.database.write() as unit:
        if not external_accounts.revoke_key(unit, key_id, to_epoch(context.clock.now())):
            raise refuse(
                Kind.NOT_FOUND,
                "ACME-EAB-UNKNOWN",
                "there is no such external account key that is not revoked",
            )
        unit.commit(context.event("eab.revoked", actor_of(principal), {"external_account_key": key_id}))


def verify_binding(context: Context, binding: Mapping[str, Any], url: str, jwk: Jwk) -> str:
    """The id of the key that has made a binding of this account key; `spend_binding` then uses it.

    Whether there is no such key, or it was revoked, has ended or is used up, cannot be told from a wrong
    one, by the answer or by the work that goes into it.

    Raises:
        CaError: unauthenticated, `ACME-EAB-SIGNATURE`; malformed, `ACME-JWS` or `ACME-ALGORITHM`.
    """
    key_id = external_binding_kid(binding)
    with context.database.read() as connection:
        secret = external_accounts.find_secret(connection, key_id, to_epoch(context.clock.now()))
    verify_external_binding(binding, secret or secrets.token_bytes(SECRET_BYTES), url=url, jwk=jwk)
    return key_id


def spend_binding(unit: UnitOfWork, key_id: str, now: int) -> None:
    """Use a key once, in the transaction that stores the account.

    Raises:
        CaError: unauthenticated, `ACME-EAB-SIGNATURE`: somebody else had the last use, or it has just ended.
    """
    if not external_accounts.spend_use(unit, key_id, now):
        raise binding_refusal()


def forget_ended_keys(context: Context) -> int:
    """Forget the secrets of keys that can bind nothing any more; returns how many there were."""
    with context.database.write() as unit:
        forgotten = external_accounts.forget_secrets(unit, to_epoch(context.clock.now()))
        unit.commit_unaudited("a secret that opens nothing any more is not kept")
    return forgotten


def _new_secret() -> bytes:
    """Random bytes whose base64url is no option to a command line, as certbot's would take `-x` for one."""
    while encode_base64url(secret := secrets.token_bytes(SECRET_BYTES)).startswith("-"):
        continue
    return secret


def _require_well_formed(new: NewExternalAccountKey) -> None:
    violations = []
    if not is_name(new.owner):
        violations.append(
            Violation("ACCESS-NEW-NAME", "an owner is 1 to 128 printable ASCII characters", "/owner")
        )
    if not timedelta(0) < new.valid <= MAX_VALID:
        violations.append(
            Violation("ACCESS-NEW-VALIDITY", f"a key ends within {MAX_VALID.days} days", "/valid_days")
        )
    if not 1 <= new.max_uses <= MAX_USES:
        violations.append(Violation("ACME-EAB-NEW", f"a key binds 1 to {MAX_USES} accounts", "/max_uses"))
    violations += [
        Violation("ACME-EAB-NEW", "without a pattern here its accounts could order nothing", pointer)
        for pointer, patterns in (("/profiles", new.profiles), ("/names", new.names))
        if not patterns
    ]
    violations += pattern_violations(new.profiles, new.names)
    if violations:
        detail = "this external account key cannot be made"
        raise CaError(Kind.MALFORMED, detail, violations=tuple(violations))
