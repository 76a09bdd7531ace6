"""The lock on the door: label, peer and credentials are judged here, before a body is read (R13, R32)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager

from flask import g, request
from werkzeug.exceptions import MethodNotAllowed

from ca_server.core.authorization import Principal
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est.settings import OPERATIONS
from ca_server.core.roles import Action
from ca_server.est.labels import Label
from ca_server.est.routes import ROUTES, Proof
from ca_server.est.services import services
from ca_server.peer import Peer, peer_of
from ca_server.services.access import ClientCertificate
from ca_server.services.context import actor_of
from ca_server.services.est.applicants import (
    Applicant,
    check_presented,
    identify,
    principal_of_certificate,
)
from ca_server.services.est.reenrol import predecessor_of
from ca_server.services.refusals import ANONYMOUS

MAX_BASIC_LENGTH = 1024


def take_label(_endpoint: str | None, values: dict[str, str] | None) -> None:
    """Keep the label that an operation's URL may have, so that no handler has to."""
    if values is not None:
        g.label_name = values.pop("label", None)


def admit() -> None:
    """Let a request through to its handler, or refuse it and write that down.

    Raises:
        CaError: not_found, `EST-OPERATION` or `EST-LABEL`; malformed, `EST-METHOD`; unauthenticated, an
            `ACCESS-...` or `EST-...` rule; rate_limited; unavailable.
    """
    with refusals_written():
        _require_route()
        g.label = services().labels.find(g.label_name)
        g.peer = peer_of(request.environ)
        _require(ROUTES[request.endpoint or ""])


@contextmanager
def refusals_written() -> Iterator[None]:
    """Whatever is refused within is written down, for nobody else does; an outage is no refusal."""
    try:
        yield
    except CaError as error:
        if error.kind not in {Kind.UNAVAILABLE, Kind.NOT_READY}:
            record_refusal(error)
        raise


def record_refusal(error: CaError) -> None:
    """Write down who was turned away at this door, and by which rules."""
    who: Principal | None = g.get("principal")
    actor = ANONYMOUS if who is None else actor_of(who)
    services().parts.refusals.record(address(), actor, Action.REQUEST_CERTIFICATE, error)


def label() -> Label:
    """Where the client knocked; set by `admit`."""
    found: Label = g.label
    return found


def peer() -> Peer:
    """Whoever is at the other end of the connection; set by `admit`."""
    found: Peer = g.peer
    return found


def applicant() -> Applicant:
    """Who enrols; set by `admit` where a route asks for credentials."""
    found: Applicant = g.applicant
    return found


def predecessor() -> ClientCertificate:
    """The certificate that is to be renewed; set by `admit` where a route asks for one."""
    found: ClientCertificate = g.predecessor
    return found


def address() -> str:
    """Where the request came from, in text."""
    return request.remote_addr or ""


def basic_credentials() -> tuple[str, str] | None:
    """User name and password of HTTP Basic (RFC 7617), None without any.

    Raises:
        CaError: unauthenticated, `ACCESS-CREDENTIALS`: another scheme, or not readable.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise _credentials("EST takes an enrolment secret by HTTP Basic, or a client certificate")
    if len(encoded) > MAX_BASIC_LENGTH:
        raise _credentials("user name or password is too long")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise _credentials("the Authorization header is not HTTP Basic") from error
    name, colon, password = text.partition(":")
    if not colon or not text.isprintable():
        raise _credentials("HTTP Basic is a user name, a colon and a password")
    return name, password


def _require_route() -> None:
    """Refuse what Flask would refuse next, so that it is written down like everything else."""
    error = request.routing_exception
    if isinstance(error, MethodNotAllowed):
        g.allowed = ", ".join(sorted(error.valid_methods or ()))
        raise refuse(Kind.MALFORMED, "EST-METHOD", f"this operation is asked by {g.allowed}")
    if error is not None:
        known = ", ".join(OPERATIONS)
        raise refuse(Kind.NOT_FOUND, "EST-OPERATION", f"there is no such operation; there are {known}")


def _require(proof: Proof) -> None:
    parts = services().parts
    if proof is Proof.CREDENTIALS:
        profile = label().require_profile()
        g.applicant = identify(parts, peer(), basic_credentials(), address(), profile)
        g.principal = g.applicant.principal
    elif proof is Proof.PREDECESSOR:
        g.predecessor = predecessor_of(parts, peer())
        g.principal = principal_of_certificate(g.predecessor.certificate, ())
    else:
        check_presented(parts, peer())


def _credentials(detail: str) -> CaError:
    return refuse(Kind.UNAUTHENTICATED, "ACCESS-CREDENTIALS", detail)
