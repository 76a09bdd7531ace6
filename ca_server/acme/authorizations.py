"""Authorizations and their challenges (RFC 8555 §7.4.1, §7.5)."""

from __future__ import annotations

from flask import Blueprint, Response

from ca_server.acme.identifiers import read_identifier
from ca_server.acme.payloads import AuthorizationPayload, NewAuthorizationPayload, read_payload
from ca_server.acme.replies import (
    RETRY_AFTER,
    add_link,
    authorization_view,
    challenge_view,
    is_being_validated,
    reply,
)
from ca_server.acme.requests import account, account_url, payload, signed
from ca_server.acme.services import services
from ca_server.acme.urls import ROOT, directory
from ca_server.core.acme.resources import NameAuthorization, Status
from ca_server.services.acme import authorizations
from ca_server.services.acme.orders import pre_authorize

blueprint = Blueprint("authorizations", __name__, url_prefix=ROOT)


@blueprint.post("/new-authz")
def new_authorization() -> Response:
    """An authorization ahead of any order; one that is valid already is given again."""
    held, asked = services(), read_payload(NewAuthorizationPayload, payload()).identifier
    found = pre_authorize(
        held.context,
        held.rules,
        account(),
        directory().profile,
        read_identifier(asked),
        subdomains=asked.subdomains,
    )
    response = _answer(found, 201 if found.status is Status.PENDING else 200)
    response.headers["Location"] = directory().url("authz", found.id)
    return response


@blueprint.post("/authz/<id:authorization_id>")
def authorization(authorization_id: str) -> Response:
    """An authorization of this account, or its end by the account's wish."""
    context, changes = services().context, signed().payload
    if changes is None:
        return _answer(authorizations.find_authorization(context, account(), authorization_id))
    read_payload(AuthorizationPayload, changes)
    return _answer(authorizations.deactivate_authorization(context, account(), authorization_id))


@blueprint.post("/challenge/<id:challenge_id>")
def challenge(challenge_id: str) -> Response:
    """A challenge; whatever object is sent says that it may be looked at now (§7.5.1)."""
    context, found = services().context, account()
    if signed().payload is None:
        parent, shown = authorizations.find_challenge(context, found, challenge_id)
    else:
        parent, shown = authorizations.respond(context, found, challenge_id, account_url(found))
    response = reply(challenge_view(parent, shown))
    add_link(response, directory().url("authz", parent.id), "up")
    if shown.status is Status.PROCESSING:
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _answer(found: NameAuthorization, status: int = 200) -> Response:
    response = reply(authorization_view(found), status)
    if is_being_validated(found):
        response.headers["Retry-After"] = RETRY_AFTER
    return response
