"""`/renewal-flags`: has certificates renewed now although they are good, when ACME clients ask."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import BeforeValidator, StringConstraints

from ca_server.core.clock import from_epoch
from ca_server.rest.authenticate import admit
from ca_server.rest.fields import Incoming, Limit, Outgoing, Query, RecordId, TimeText
from ca_server.rest.problems import responses
from ca_server.rest.queries import RecordPath
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.services import principal, services
from ca_server.services.acme import renewal_flags
from ca_server.services.acme.renewal_flags import NewFlag
from ca_server.store.renewal_flags import FlagScope, RenewalFlag

blueprint = APIBlueprint("renewal_flags", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


def _scope(value: object) -> object:
    """The word of a scope; a strict model takes no text for an enumeration."""
    return FlagScope(value) if isinstance(value, str) and value in list(FlagScope) else value


class NewRenewalFlag(Incoming):
    """What is to be renewed: the id of a certificate or authority, or the name of a profile."""

    scope: Annotated[FlagScope, BeforeValidator(_scope)]
    subject: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    explanation_url: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,500}$")] | None = None


class RenewalFlagQuery(Query):
    """Which part of the list of flags."""

    limit: Limit = 50
    cursor: RecordId | None = None


class RenewalFlagView(Outgoing):
    """A flag; it counts for what was issued before it, until it ends."""

    id: str
    scope: FlagScope
    subject: str
    explanation_url: str | None
    created_at: TimeText
    ended_at: TimeText | None


class RenewalFlagPage(Outgoing):
    """Flags, newest first."""

    items: list[RenewalFlagView]
    next_cursor: str | None


@blueprint.post("/renewal-flags", responses={201: RenewalFlagView, **responses(404, 413, 415)})
def create_renewal_flag(body: NewRenewalFlag) -> Response:
    """Tell every client that asks to renew at once what was issued until now."""
    new = NewFlag(body.scope, body.subject, body.explanation_url)
    created = renewal_flags.create_flag(services().context, principal(), services().policies, new)
    return reply(_view(created), 201, location=f"{PREFIX}/renewal-flags/{created.id}")


@blueprint.get("/renewal-flags", responses={200: RenewalFlagPage, **responses()})
def list_renewal_flags(query: RenewalFlagQuery) -> Response:
    """Flags, newest first, ended ones too."""
    found = renewal_flags.list_flags(
        services().context, principal(), after=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    page = RenewalFlagPage(items=[_view(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


@blueprint.delete("/renewal-flags/<record_id>", responses={204: None, **responses(404)})
def end_renewal_flag(path: RecordPath) -> Response:
    """Take a flag back: what it named is renewed in its own time again."""
    renewal_flags.end_flag(services().context, principal(), path.record_id)
    return Response(status=204)


def _view(flag: RenewalFlag) -> RenewalFlagView:
    return RenewalFlagView(
        id=flag.id,
        scope=FlagScope(flag.scope),
        subject=flag.subject,
        explanation_url=flag.explanation_url,
        created_at=from_epoch(flag.created_at),
        ended_at=None if flag.ended_at is None else from_epoch(flag.ended_at),
    )
