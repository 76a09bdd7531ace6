"""`/acme-accounts`: the accounts of ACME clients, and their end."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import StringConstraints

from ca_server.core.acme.resources import Account, Status
from ca_server.core.clock import from_epoch
from ca_server.rest.authenticate import admit
from ca_server.rest.fields import Incoming, Limit, Outgoing, ProfileName, Query, RecordId, TimeText
from ca_server.rest.problems import responses
from ca_server.rest.queries import RecordPath
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.services import principal, services
from ca_server.services.acme import account_oversight
from ca_server.store.accounts import AccountFilter

blueprint = APIBlueprint("acme_accounts", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)

AccountStatus = Literal["valid", "deactivated", "revoked"]
ExternalAccountKeyId = Annotated[str, StringConstraints(pattern=r"^eab-[0-9a-f]{32}$")]


class AcmeAccountQuery(Query):
    """How the list of accounts is narrowed."""

    limit: Limit = 50
    cursor: RecordId | None = None
    directory: ProfileName | None = None
    status: AccountStatus | None = None
    external_account_key: ExternalAccountKeyId | None = None


class BindingView(Outgoing):
    """What an account is bound to, and with it the most that it may have."""

    external_account_key: str
    owner: str
    profiles: list[str]
    names: list[str]


class AcmeAccountView(Outgoing):
    """One account; `directory` is the profile whose directory it is in, `key_thumbprint` RFC 7638's."""

    id: str
    directory: str
    status: AccountStatus
    key_thumbprint: str
    contacts: list[str]
    terms_agreed_at: TimeText | None
    created_at: TimeText
    binding: BindingView | None


class AcmeAccountPage(Outgoing):
    """Accounts, newest first."""

    items: list[AcmeAccountView]
    next_cursor: str | None


class Deactivation(Incoming):
    """Nothing more is to be said: an empty object."""


@blueprint.get("/acme-accounts", responses={200: AcmeAccountPage, **responses()})
def list_acme_accounts(query: AcmeAccountQuery) -> Response:
    """Accounts of all directories or of one, newest first, ended ones too."""
    wanted = AccountFilter(
        directory=query.directory,
        status=None if query.status is None else Status(query.status),
        external_account_key=query.external_account_key,
    )
    found = account_oversight.list_accounts(
        services().context, principal(), wanted, before=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    page = AcmeAccountPage(items=[_view(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


@blueprint.get("/acme-accounts/<record_id>", responses={200: AcmeAccountView, **responses(404)})
def show_acme_account(path: RecordPath) -> Response:
    """One account."""
    return reply(_view(account_oversight.show_account(services().context, principal(), path.record_id)))


@blueprint.post(
    "/acme-accounts/<record_id>/deactivation",
    responses={200: AcmeAccountView, **responses(404, 409, 413, 415)},
)
def deactivate_acme_account(path: RecordPath, body: Deactivation) -> Response:  # noqa: ARG001 - it is empty
    """End an account for ever: its key opens nothing any more. Its certificates stay good."""
    return reply(_view(account_oversight.revoke_account(services().context, principal(), path.record_id)))


def _view(account: Account) -> AcmeAccountView:
    bound = account.binding
    agreed_at = account.terms_agreed_at
    return AcmeAccountView(
        id=account.id,
        directory=account.directory,
        status=account.status.value,
        key_thumbprint=account.thumbprint,
        contacts=list(account.contacts),
        terms_agreed_at=None if agreed_at is None else from_epoch(agreed_at),
        created_at=from_epoch(account.created_at),
        binding=bound
        and BindingView(
            external_account_key=bound.key_id,
            owner=bound.owner,
            profiles=list(bound.profiles),
            names=list(bound.names),
        ),
    )
