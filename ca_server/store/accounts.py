"""Accounts as they are kept (RFC 8555 §7.1.2): one for a key in a directory, and none is ever deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from ca_server.core.acme.resources import Account, Binding, Status
from ca_server.store.acme_tables import acme_account, external_account_key
from ca_server.store.prepared import Prepared
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewRow:
    """A new account as its row; `jwk` and `contacts` are JSON."""

    id: str
    directory: str
    key_thumbprint: str
    jwk: str
    status: str
    contacts: str
    terms_agreed_at: int | None
    external_account_key_id: str | None
    created_at: int
    event_id: str


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts are wanted; None does not narrow."""

    directory: str | None = None
    status: Status | None = None
    external_account_key: str | None = None


_COLUMNS = ("id", "directory", "status", "key_thumbprint", "jwk", "contacts", "terms_agreed_at", "created_at")
_BINDING_COLUMNS = ("id", "owner", "profiles", "names")


def _select() -> Select[Any]:
    account = [acme_account.c[name] for name in _COLUMNS]
    binding = [external_account_key.c[name].label(f"binding_{name}") for name in _BINDING_COLUMNS]
    return select(*account, *binding).outerjoin(
        external_account_key, external_account_key.c.id == acme_account.c.external_account_key_id
    )


# Every request of a client asks one of these.
_FIND = Prepared(_select().where(acme_account.c.id == bindparam("account")))
_FIND_BY_KEY = Prepared(
    _select().where(
        acme_account.c.directory == bindparam("place"),
        acme_account.c.key_thumbprint == bindparam("thumbprint"),
    )
)


def insert_account(unit: UnitOfWork, row: NewRow) -> None:
    """Store a new account.

    Raises:
        BrokenRule: the key has an account in this directory already. It leaves `Database.write`.
    """
    unit.connection.execute(
        insert(acme_account), {name: getattr(row, name) for name in NewRow.__dataclass_fields__}
    )


def find_account(connection: Connection, account_id: str) -> Account | None:
    """An account by its id, whatever its status."""
    row = _FIND.first(connection, {"account": account_id})
    return _account(row) if row else None


def find_account_by_key(connection: Connection, directory: str, thumbprint: str) -> Account | None:
    """The account that a key has in a directory, whatever its status."""
    row = _FIND_BY_KEY.first(connection, {"place": directory, "thumbprint": thumbprint})
    return _account(row) if row else None


def list_accounts(
    connection: Connection, wanted: AccountFilter, *, before: str | None, limit: int
) -> list[Account]:
    """Accounts, newest first; `before` is the id of the last one seen, and ids sort by time."""
    columns: Mapping[Any, object] = {
        acme_account.c.directory: wanted.directory,
        acme_account.c.status: None if wanted.status is None else wanted.status.value,
        acme_account.c.external_account_key_id: wanted.external_account_key,
    }
    query = _select().where(*(column == value for column, value in columns.items() if value is not None))
    if before is not None:
        query = query.where(acme_account.c.id < before)
    rows = connection.execute(query.order_by(acme_account.c.id.desc()).limit(limit))
    return [_account(tuple(row)) for row in rows]


def change_account(
    unit: UnitOfWork, account_id: str, contacts: Sequence[str], terms_agreed_at: int | None
) -> bool:
    """Keep new contacts and terms of a valid account; False where it is not valid (any more)."""
    return _update(unit, account_id, contacts=contacts_text(contacts), terms_agreed_at=terms_agreed_at)


def end_account(unit: UnitOfWork, account_id: str, status: Status) -> bool:
    """End a valid account for ever; False where it has ended before, or is not there."""
    return _update(unit, account_id, status=status.value)


def replace_key(unit: UnitOfWork, account: Account, thumbprint: str, jwk: Mapping[str, Any]) -> bool:
    """Give a valid account another key; False where it has ended or another change of key came first.

    Raises:
        BrokenRule: the new key has an account in this directory already. It leaves `Database.write`.
    """
    statement = (
        update(acme_account)
        .where(
            acme_account.c.id == account.id,
            acme_account.c.status == Status.VALID.value,
            acme_account.c.key_thumbprint == account.thumbprint,
        )
        .values(key_thumbprint=thumbprint, jwk=jwk_text(jwk))
    )
    return unit.connection.execute(statement).rowcount == 1


def jwk_text(jwk: Mapping[str, Any]) -> str:
    """A public key as its column keeps it."""
    return json.dumps(dict(jwk), separators=(",", ":"), sort_keys=True)


def contacts_text(contacts: Sequence[str]) -> str:
    """Contacts as their column keeps them."""
    return json.dumps(list(contacts), separators=(",", ":"))


def _update(unit: UnitOfWork, account_id: str, **values: object) -> bool:
    statement = (
        update(acme_account)
        .where(acme_account.c.id == account_id, acme_account.c.status == Status.VALID.value)
        .values(**values)
    )
    return unit.connection.execute(statement).rowcount == 1


def _account(row: Sequence[Any]) -> Account:
    """A row of `_select`."""
    key, directory, status, thumbprint, jwk, contacts, terms_agreed_at, created_at, *bound = row
    return Account(
        id=key,
        directory=directory,
        status=Status(status),
        thumbprint=thumbprint,
        jwk=json.loads(jwk),
        contacts=tuple(json.loads(contacts)),
        terms_agreed_at=terms_agreed_at,
        created_at=created_at,
        binding=_binding(*bound),
    )


def _binding(key_id: str | None, owner: str, profiles: str, names: str) -> Binding | None:
    if key_id is None:
        return None
    return Binding(key_id, owner, tuple(json.loads(profiles)), tuple(json.loads(names)))
