"""`/enrolment-secrets`: by which devices enrol over EST. A secret is shown once, when it is made."""

from __future__ import annotations

from datetime import timedelta

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import Field

from ca_server.core.clock import from_epoch
from ca_server.core.est.resources import EnrolmentSecret
from ca_server.rest.authenticate import admit
from ca_server.rest.fields import (
    Incoming,
    Limit,
    Outgoing,
    Patterns,
    Printable,
    ProfileName,
    Query,
    RecordId,
    TimeText,
)
from ca_server.rest.problems import responses
from ca_server.rest.queries import RecordPath
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.services import principal, services
from ca_server.services.est import secrets
from ca_server.services.est.secrets import MAX_USES, NewEnrolmentSecret

blueprint = APIBlueprint("enrolment_secrets", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


class NewSecret(Incoming):
    """Whose it is, the one profile and the names it is for, for how many days and how many certificates."""

    owner: Printable
    profile: ProfileName
    names: Patterns
    valid_days: int = Field(default=30, ge=1, le=400)
    max_uses: int = Field(default=1, ge=1, le=MAX_USES)


class EnrolmentSecretQuery(Query):
    """Which part of the list of secrets."""

    limit: Limit = 50
    cursor: RecordId | None = None


class EnrolmentSecretView(Outgoing):
    """A secret without its text; `id` is the user name in HTTP Basic."""

    id: str
    owner: str
    profile: str
    names: list[str]
    max_uses: int
    uses: int
    created_at: TimeText
    not_after: TimeText
    revoked_at: TimeText | None


class CreatedEnrolmentSecret(EnrolmentSecretView):
    """A new secret with its text, the password in HTTP Basic, shown this once."""

    secret: str


class EnrolmentSecretPage(Outgoing):
    """Secrets, newest first."""

    items: list[EnrolmentSecretView]
    next_cursor: str | None


@blueprint.post("/enrolment-secrets", responses={201: CreatedEnrolmentSecret, **responses(404, 413, 415)})
def create_enrolment_secret(body: NewSecret) -> Response:
    """Make a secret by which devices enrol; nobody grants more than they hold."""
    new = NewEnrolmentSecret(
        body.owner, body.profile, body.names, timedelta(days=body.valid_days), body.max_uses
    )
    secret, text = secrets.create_enrolment_secret(services().context, services().policies, principal(), new)
    view = CreatedEnrolmentSecret(**_view(secret).model_dump(), secret=text)
    response = reply(view, 201, location=f"{PREFIX}/enrolment-secrets/{secret.id}")
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/enrolment-secrets", responses={200: EnrolmentSecretPage, **responses()})
def list_enrolment_secrets(query: EnrolmentSecretQuery) -> Response:
    """Secrets without their texts, newest first, ended ones too."""
    found = secrets.list_enrolment_secrets(
        services().context, principal(), before=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    page = EnrolmentSecretPage(items=[_view(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


@blueprint.delete("/enrolment-secrets/<record_id>", responses={204: None, **responses(404)})
def revoke_enrolment_secret(path: RecordPath) -> Response:
    """End a secret: nobody enrols with it any more; what was issued with it stays."""
    secrets.revoke_enrolment_secret(services().context, principal(), path.record_id)
    return Response(status=204)


def _view(secret: EnrolmentSecret) -> EnrolmentSecretView:
    return EnrolmentSecretView(
        id=secret.id,
        owner=secret.owner,
        profile=secret.profile,
        names=list(secret.names),
        max_uses=secret.max_uses,
        uses=secret.uses,
        created_at=from_epoch(secret.created_at),
        not_after=from_epoch(secret.not_after),
        revoked_at=None if secret.revoked_at is None else from_epoch(secret.revoked_at),
    )
