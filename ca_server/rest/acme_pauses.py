"""`/acme-accounts/{id}/unpause`: ends the pause of names that failed for days."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import StringConstraints

from ca_server.rest.authenticate import admit
from ca_server.rest.fields import Incoming, Outgoing
from ca_server.rest.problems import responses
from ca_server.rest.queries import RecordPath
from ca_server.rest.replies import PREFIX, reply
from ca_server.rest.services import principal, services
from ca_server.services.acme.pausing import unpause_account

blueprint = APIBlueprint("acme_pauses", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


class Unpause(Incoming):
    """One name, such as `dns:www.example.com`; without it all names of the account."""

    name: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,300}$")] | None = None


class Unpaused(Outgoing):
    """The names that may be ordered again."""

    names: list[str]


@blueprint.post("/acme-accounts/<record_id>/unpause", responses={200: Unpaused, **responses(404, 413, 415)})
def unpause(path: RecordPath, body: Unpause) -> Response:
    """Let an account order names again that failed for days; their failures are forgotten."""
    names = unpause_account(services().context, principal(), path.record_id, body.name)
    return reply(Unpaused(names=names))
