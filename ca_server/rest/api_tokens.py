"""`/api-tokens`: makes, lists and ends API tokens. A secret is shown once, by the call that makes it."""

from __future__ import annotations

from datetime import timedelta

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import CredentialQuery, RecordPath
from ca_server.rest.replies import PREFIX, credential_fields, page_reply, reply, split_page
from ca_server.rest.schemas import APITokenPage, CreatedToken, CredentialView, NewCredential
from ca_server.rest.services import principal, services
from ca_server.services import credentials
from ca_server.store.access import CredentialType

blueprint = APIBlueprint("api_tokens", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


@blueprint.post("/api-tokens", responses={201: CreatedToken, **responses(413, 415)})
def create_api_token(body: NewCredential) -> Response:
    """Make an API token; nobody grants more than they hold."""
    grant = credentials.Grant(
        body.name, body.role, body.profiles, body.names, timedelta(days=body.valid_days)
    )
    created, secret = credentials.create_token(services().context, principal(), grant)
    view = CreatedToken(**credential_fields(created), secret=secret)
    response = reply(view, 201, location=f"{PREFIX}/api-tokens/{created.id}")
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/api-tokens", responses={200: APITokenPage, **responses()})
def list_api_tokens(query: CredentialQuery) -> Response:
    """API tokens without their secrets, newest first, ended ones too."""
    found = credentials.list_credentials(
        services().context, principal(), CredentialType.TOKEN, after=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    items = [CredentialView(**credential_fields(row)) for row in rows]
    return page_reply(APITokenPage(items=items, next_cursor=next_cursor), next_cursor)


@blueprint.delete("/api-tokens/<record_id>", responses={204: None, **responses(404)})
def revoke_api_token(path: RecordPath) -> Response:
    """End an API token, from the next request on."""
    credentials.revoke_credential(services().context, principal(), CredentialType.TOKEN, path.record_id)
    return Response(status=204)
