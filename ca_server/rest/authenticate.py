"""The lock on the door: who asks, by what proof, and whether their role may try this at all.

Runs before a body is read. Two proofs are known: an API token, or the client certificate of the TLS
connection. A header that claims to carry one is refused, whatever else the request proves (R32).
"""

from __future__ import annotations

from flask import g, request

from ca_server.core.audit.record import Actor
from ca_server.core.authorization import Principal
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.roles import Action
from ca_server.peer import peer_of
from ca_server.rest.bodies import require_json_object, require_single_query_parameters
from ca_server.rest.routes import ACTIONS
from ca_server.rest.services import services
from ca_server.services.access import (
    authenticate_client_certificate,
    authenticate_token,
    require_permission,
)
from ca_server.services.context import actor_of
from ca_server.services.refusals import ANONYMOUS


def admit() -> None:
    """Let a request through to its handler, or refuse it and write that down.

    Raises:
        CaError: unauthenticated or forbidden, an `ACCESS-...` rule; malformed, a `REST-...` rule.
    """
    action = ACTIONS[request.endpoint or ""]
    actor = ANONYMOUS
    try:
        g.principal = _authenticate()
        actor = actor_of(g.principal)
        require_permission(g.principal, action)
    except CaError as error:
        record_refusal(error, action, actor)
        raise
    require_single_query_parameters()
    if request.method == "POST":
        require_json_object()


def record_refusal(error: CaError, action: Action, actor: Actor) -> None:
    """Write a refusal down; an outage is none."""
    if error.kind is not Kind.UNAVAILABLE:
        services().refusals.record(request.remote_addr or "", actor, action, error)


def _authenticate() -> Principal:
    """A token, when one is given, speaks alone: a bad token is not made good by a certificate."""
    peer = peer_of(request.environ)
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise _credentials("the Authorization header is not a Bearer token")
        return authenticate_token(services().context, secret)
    if peer.certificate is None:
        raise _credentials("give an API token or a client certificate")
    return authenticate_client_certificate(services().context, peer.certificate)


def _credentials(detail: str) -> CaError:
    return refuse(Kind.UNAUTHENTICATED, "ACCESS-CREDENTIALS", detail)
