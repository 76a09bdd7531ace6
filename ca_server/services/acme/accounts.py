"""Accounts as their owners make, change and end them (RFC 8555 §7.3), and what an account may have.

A key has one account in a directory, for ever: an account that has ended keeps its key, so nobody starts
anew with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ca_server.core.acme.contacts import contact_violations
from ca_server.core.acme.resources import Account, Binding, Status
from ca_server.core.acme.settings import AcmeConfig, AcmeLimits
from ca_server.core.audit.record import Event
from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import from_epoch, to_epoch, to_text
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.jose import Jwk
from ca_server.core.profile import Profile
from ca_server.services.acme.account_keys import require_usable_key
from ca_server.services.acme.external_accounts import spend_binding, verify_binding
from ca_server.services.acme.limits import Limit, spend
from ca_server.services.context import Context, actor_of, new_id
from ca_server.services.refusals import network_of
from ca_server.store import accounts, external_accounts
from ca_server.store.accounts import NewRow, contacts_text, jwk_text
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork

_EVERYTHING: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What a client asked for; `external_binding` is the inner JWS, `url` that of the request."""

    contacts: tuple[str, ...] = ()
    terms_agreed: bool = False
    external_binding: Mapping[str, Any] | None = None
    url: str = ""


class KeyTaken(CaError):
    """Another account has this key; the client is told which (RFC 8555 §7.3.5)."""

    def __init__(self, account_id: str) -> None:
        refusal = refuse(Kind.CONFLICT, "ACME-KEY-TAKEN", "this key has an account in this directory already")
        super().__init__(refusal.kind, refusal.detail, violations=refusal.violations)
        self.account_id = account_id


def find_account(context: Context, directory: str, account_id: str) -> Account:
    """An account of this directory, whatever its status: see `require_valid`.

    Raises:
        CaError: unauthenticated, `ACME-ACCOUNT-UNKNOWN`; unavailable.
    """
    with context.database.read() as connection:
        found = accounts.find_account(connection, account_id)
    if found is None or found.directory != directory:
        raise refuse(Kind.UNAUTHENTICATED, "ACME-ACCOUNT-UNKNOWN", "there is no such account here")
    return found


def find_account_by_key(context: Context, directory: str, thumbprint: str) -> Account | None:
    """The account that a key has in this directory, whatever its status: see `require_valid`."""
    with context.database.read() as connection:
        return accounts.find_account_by_key(connection, directory, thumbprint)


def require_valid(account: Account) -> Account:
    """Pass only an account that has not ended (RFC 8555 §7.3.6).

    Raises:
        CaError: unauthenticated, `ACME-ACCOUNT-ENDED`.
    """
    if account.status is not Status.VALID:
        raise _ended(f"the account is {account.status}, and its key cannot be used here any more")
    return account


def create_account(
    context: Context, settings: AcmeConfig, profile: Profile, jwk: Jwk, new: NewAccount, address: str
) -> tuple[Account, bool]:
    """The account of a key, and whether it was made now; one that is there stays as it is (RFC 8555 §7.3.1).

    `profile` is the directory's, `address` the client's, or empty where only a proxy knows it: then the
    proxy has to limit. An external account binding is checked and kept where it is given, needed or not.

    Raises:
        CaError: unauthenticated, `ACME-ACCOUNT-ENDED` or `ACME-EAB-SIGNATURE`; forbidden, `ACME-TERMS` or
            `ACME-EAB-REQUIRED`; malformed, `ACME-CONTACT`, `ACME-CONTACT-SCHEME`, or a binding that is not
            well formed; bad_public_key, `KEY-COMPROMISED` or `KEY-OWN`; rate_limited; unavailable.
    """
    known = find_account_by_key(context, profile.name, jwk.thumbprint)
    if known is not None:
        return require_valid(known), False
    try:
        return _make_account(context, settings, profile, jwk, new, address), True
    except (BrokenRule, CaError):
        # Another request with this key may have come first, and have had the last use of the binding too.
        known = find_account_by_key(context, profile.name, jwk.thumbprint)
        if known is None:
            raise
        return require_valid(known), False


def update_account(
    context: Context,
    limits: AcmeLimits,
    account: Account,
    contacts: tuple[str, ...] | None,
    *,
    terms_agreed: bool,
) -> Account:
    """The account with new contacts, where they are given, and with the terms agreed to, once they are.

    A change stays in the log for ever, so it costs as much as an order; nothing changed costs nothing.

    Raises:
        CaError: malformed, `ACME-CONTACT` or `ACME-CONTACT-SCHEME`; unauthenticated, `ACME-ACCOUNT-ENDED`;
            rate_limited, `ACME-LIMIT-ORDERS`; unavailable.
    """
    wanted = account.contacts if contacts is None else contacts
    _require_contacts(wanted)
    agreed_at = account.terms_agreed_at
    if terms_agreed and agreed_at is None:
        agreed_at = to_epoch(context.clock.now())
    now_different = {
        "contact": wanted != account.contacts,
        "termsOfServiceAgreed": agreed_at != account.terms_agreed_at,
    }
    changed = [name for name, differs in now_different.items() if differs]
    if not changed:
        return account
    event = _event(context, "account.updated", account, changed=changed)
    with context.database.write() as unit:
        _spend_change(context, unit, limits, account)
        if not accounts.change_account(unit, account.id, wanted, agreed_at):
            raise _ended("the account has ended meanwhile")
        unit.commit(event)
    return find_account(context, account.directory, account.id)


def deactivate_account(context: Context, account: Account) -> Account:
    """End an account by its owner's wish, for ever (RFC 8555 §7.3.6).

    Raises:
        CaError: unauthenticated, `ACME-ACCOUNT-ENDED`: it had ended before; unavailable.
    """
    event = _event(context, "account.deactivated", account, status=Status.DEACTIVATED.value)
    with context.database.write() as unit:
        if not accounts.end_account(unit, account.id, Status.DEACTIVATED):
            raise _ended("the account has ended already")
        unit.commit(event)
    return find_account(context, account.directory, account.id)


def change_key(context: Context, limits: AcmeLimits, account: Account, new: Jwk) -> Account:
    """The account with another key; the old one opens nothing any more (RFC 8555 §7.3.5).

    It costs as much as an order, as `update_account` does.

    Raises:
        KeyTaken: an account of this directory has the new key, perhaps this very one.
        CaError: bad_public_key, `KEY-COMPROMISED` or `KEY-OWN`; unauthenticated, `ACME-ACCOUNT-ENDED`: the
            account has ended or got another key meanwhile; rate_limited, `ACME-LIMIT-ORDERS`; unavailable.
    """
    taken = find_account_by_key(context, account.directory, new.thumbprint)
    if taken is not None:
        raise KeyTaken(taken.id)
    event = _event(
        context, "account.key-changed", account, thumbprint=new.thumbprint, previous=account.thumbprint
    )
    try:
        with context.database.write() as unit:
            require_usable_key(unit, new)
            _spend_change(context, unit, limits, account)
            if not accounts.replace_key(unit, account, new.thumbprint, new.members):
                raise _ended("the account has ended or changed its key meanwhile")
            unit.commit(event)
    except BrokenRule:
        taken = find_account_by_key(context, account.directory, new.thumbprint)
        if taken is None:
            raise
        raise KeyTaken(taken.id) from None
    return find_account(context, account.directory, account.id)


def principal_of(account: Account) -> Principal:
    """An account as the gate and the log know it, bounded by what it was bound with."""
    bound = account.binding
    profiles, names = (bound.profiles, bound.names) if bound else (_EVERYTHING, _EVERYTHING)
    return Principal(f"account:{account.id}", Role.REQUESTER, "acme", profiles, names)


def require_may_order(context: Context, account: Account, profile: Profile) -> None:
    """Pass only an account whose binding, where it has or needs one, is in force and allows the profile.

    Raises:
        CaError: forbidden, `ACME-EAB-REQUIRED`, `ACME-BINDING-REVOKED` or `ACME-BINDING-PROFILE`;
            unavailable.
    """
    if account.binding is not None:
        _require_not_revoked(context, account.binding)
        _require_profile(account.binding, profile)
    elif profile.acme.external_account_required:
        raise _unbound(profile)


def _require_not_revoked(context: Context, binding: Binding) -> None:
    """Taking a key back stops its accounts. Its end does not: it only binds no further ones from then on.

    Else every client of a key would stop renewing on the day that the key was made to end.
    """
    with context.database.read() as connection:
        key = external_accounts.find_key(connection, binding.key_id)
    assert key is not None
    if key.revoked_at is not None:
        raise refuse(
            Kind.FORBIDDEN,
            "ACME-BINDING-REVOKED",
            f"the external account key {key.id} of this account was revoked at "
            f"{to_text(from_epoch(key.revoked_at))}; ask for another one, and make another account with it",
        )


def _require_profile(binding: Binding, profile: Profile) -> None:
    if not any(fnmatchcase(profile.name, pattern) for pattern in binding.profiles):
        raise refuse(
            Kind.FORBIDDEN,
            "ACME-BINDING-PROFILE",
            f"the external account key of this account does not allow the profile {profile.name}",
        )


def _require_contacts(contacts: tuple[str, ...]) -> None:
    violations = contact_violations(contacts)
    if violations:
        raise CaError(Kind.MALFORMED, violations[0].detail, violations=tuple(violations))


def _make_account(
    context: Context, settings: AcmeConfig, profile: Profile, jwk: Jwk, new: NewAccount, address: str
) -> Account:
    if settings.terms_of_service is not None and not new.terms_agreed:
        raise refuse(
            Kind.FORBIDDEN, "ACME-TERMS", f"agree to the terms of service first: {settings.terms_of_service}"
        )
    _require_contacts(new.contacts)
    row = _new_row(context, profile, jwk, new)
    event = _created_event(context, row)
    with context.database.write() as unit:
        require_usable_key(unit, jwk)
        accounts.insert_account(unit, row)
        if row.external_account_key_id is not None:
            spend_binding(unit, row.external_account_key_id, row.created_at)
        if address:
            # Else all strangers together would be one, and any of them could shut out the others.
            rate = settings.limits.accounts_per_address
            spend(unit, Limit.ACCOUNTS_PER_ADDRESS, network_of(address), rate, row.created_at)
        created = accounts.find_account(unit.connection, row.id)
        unit.commit(event)
    assert created is not None
    return created


def _spend_change(context: Context, unit: UnitOfWork, limits: AcmeLimits, account: Account) -> None:
    now = to_epoch(context.clock.now())
    spend(unit, Limit.ORDERS_PER_ACCOUNT, account.id, limits.orders_per_account, now)


def _new_row(context: Context, profile: Profile, jwk: Jwk, new: NewAccount) -> NewRow:
    """The row of a new account, once its binding is known to be right."""
    if new.external_binding is not None:
        key_id = verify_binding(context, new.external_binding, new.url, jwk)
    elif profile.acme.external_account_required:
        raise _unbound(profile)
    else:
        key_id = None
    now = context.clock.now()
    return NewRow(
        id=new_id(now),
        directory=profile.name,
        key_thumbprint=jwk.thumbprint,
        jwk=jwk_text(jwk.members),
        status=Status.VALID.value,
        contacts=contacts_text(new.contacts),
        terms_agreed_at=to_epoch(now) if new.terms_agreed else None,
        external_account_key_id=key_id,
        created_at=to_epoch(now),
        event_id=new_id(now),
    )


def _created_event(context: Context, row: NewRow) -> Event:
    data = {"account": row.id, "directory": row.directory, "thumbprint": row.key_thumbprint}
    if row.external_account_key_id is not None:
        data["external_account_key"] = row.external_account_key_id
    actor = actor_of(Principal(f"account:{row.id}", Role.REQUESTER, "acme"))
    return context.event("account.created", actor, data, event_id=row.event_id)


def _event(context: Context, kind: str, account: Account, **data: object) -> Event:
    return context.event(kind, actor_of(principal_of(account)), {"account": account.id, **data})


def _unbound(profile: Profile) -> CaError:
    return refuse(
        Kind.FORBIDDEN,
        "ACME-EAB-REQUIRED",
        f"{profile.name} is for accounts that are bound to an external account key; ask an officer for one",
    )


def _ended(detail: str) -> CaError:
    return refuse(Kind.UNAUTHENTICATED, "ACME-ACCOUNT-ENDED", detail)
