"""Turns models into responses, and lists into pages that lead to the next (RFC 8288)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from flask import Response, request
from pydantic import BaseModel

from ca_server.rest.schemas import CredentialView
from ca_server.store.access import Credential

PREFIX = "/api/v1"

Row = TypeVar("Row")


def reply(body: BaseModel, status: int = 200, *, location: str | None = None) -> Response:
    """A model as JSON."""
    response = Response(body.model_dump_json(), status=status, mimetype="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response


def page_reply(page: BaseModel, next_cursor: str | None) -> Response:
    """A page as JSON, with a link to the next one when there is one."""
    response = reply(page)
    if next_cursor is not None:
        query = {**request.args.to_dict(), "cursor": next_cursor}
        response.headers["Link"] = f'<{request.path}?{urlencode(query)}>; rel="next"'
    return response


def split_page(
    rows: Sequence[Row], limit: int, cursor_of: Callable[[Row], str]
) -> tuple[Sequence[Row], str | None]:
    """The page itself and the cursor of the next, given one row more than the page may have."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], cursor_of(rows[limit - 1])


def credential_fields(credential: Credential) -> dict[str, object]:
    """What a token and a grant show alike; see `CredentialView`."""
    return CredentialView(
        id=credential.id,
        name=credential.name,
        role=credential.role,
        profiles=list(credential.profiles),
        names=list(credential.names),
        created_at=credential.created_at,
        not_after=credential.not_after,
        revoked_at=credential.revoked_at,
    ).model_dump()
