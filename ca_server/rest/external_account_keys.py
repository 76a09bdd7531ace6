"""`/external-account-keys`: what ACME accounts are bound by. A secret is shown once, when it is made."""

from __future__ import annotations

from datetime import timedelta

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import Field

from ca_server.core.clock import from_epoch
from ca_server.rest.acme_accounts import ExternalAccountKeyId
from ca_server.rest.authenticate import admit
from ca_server.rest.fields import Incoming, Limit, Outgoing, Patterns, Printable, Query, TimeText
from ca_server.rest.problems import responses
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.services import principal, services
from ca_server.services.acme import external_accounts
from ca_server.services.acme.external_accounts import MAX_USES, NewExternalAccountKey
from ca_server.store.external_accounts import ExternalAccountKey

blueprint = APIBlueprint("external_account_keys", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


class NewKey(Incoming):
    """Whose key it is, what its accounts may have, for how many days, and how many accounts it binds."""

    owner: Printable
    profiles: Patterns
    names: Patterns
    valid_days: int = Field(default=90, ge=1, le=400)
    max_uses: int = Field(default=1, ge=1, le=MAX_USES)


class ExternalAccountKeyQuery(Query):
    """Which part of the list of keys."""

    limit: Limit = 50
    cursor: ExternalAccountKeyId | None = None


class ExternalAccountKeyPath(Query):
    """The key that a URL names."""

    key_id: ExternalAccountKeyId


class ExternalAccountKeyView(Outgoing):
    """A key without its secret; `id` is what clients call the key id, or kid."""

    id: str
    owner: str
    profiles: list[str]
    names: list[str]
    max_uses: int
    uses: int
    created_at: TimeText
    not_after: TimeText
    revoked_at: TimeText | None


class CreatedExternalAccountKey(ExternalAccountKeyView):
    """A new key with its secret in base64url, shown this once."""

    hmac_key: str


class ExternalAccountKeyPage(Outgoing):
    """Keys, newest first."""

    items: list[ExternalAccountKeyView]
    next_cursor: str | None


@blueprint.post("/external-account-keys", responses={201: CreatedExternalAccountKey, **responses(413, 415)})
def create_external_account_key(body: NewKey) -> Response:
    """Make a key by which accounts can be bound; nobody grants more than they hold."""
    new = NewExternalAccountKey(
        body.owner, body.profiles, body.names, timedelta(days=body.valid_days), body.max_uses
    )
    key, secret = external_accounts.create_external_account_key(services().context, principal(), new)
    view = CreatedExternalAccountKey(**_view(key).model_dump(), hmac_key=secret)
    response = reply(view, 201, location=f"{PREFIX}/external-account-keys/{key.id}")
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/external-account-keys", responses={200: ExternalAccountKeyPage, **responses()})
def list_external_account_keys(query: ExternalAccountKeyQuery) -> Response:
    """Keys without their secrets, newest first, ended ones too."""
    found = external_accounts.list_external_account_keys(
        services().context, principal(), before=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    page = ExternalAccountKeyPage(items=[_view(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


@blueprint.delete("/external-account-keys/<key_id>", responses={204: None, **responses(404)})
def revoke_external_account_key(path: ExternalAccountKeyPath) -> Response:
    """End a key: it binds no account any more, and the accounts that it has bound cannot order."""
    external_accounts.revoke_external_account_key(services().context, principal(), path.key_id)
    return Response(status=204)


def _view(key: ExternalAccountKey) -> ExternalAccountKeyView:
    return ExternalAccountKeyView(
        id=key.id,
        owner=key.owner,
        profiles=list(key.profiles),
        names=list(key.names),
        max_uses=key.max_uses,
        uses=key.uses,
        created_at=from_epoch(key.created_at),
        not_after=from_epoch(key.not_after),
        revoked_at=None if key.revoked_at is None else from_epoch(key.revoked_at),
    )
