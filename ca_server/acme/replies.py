"""The resources of RFC 8555 §7.1 as JSON, and what every answer of this door carries."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from flask import Response, g, request

from ca_server.acme.problems import type_uri
from ca_server.acme.services import services
from ca_server.acme.urls import Directory, directory
from ca_server.core.acme.resources import (
    Account,
    Challenge,
    ChallengeType,
    NameAuthorization,
    Order,
    OrderName,
    Problem,
    Status,
)
from ca_server.core.clock import from_epoch, to_text
from ca_server.core.errors import CaError

NONCE = "Replay-Nonce"
# Seconds after which to ask again for what is being worked at.
RETRY_AFTER = "1"


def reply(body: dict[str, Any], status: int = 200, *, location: str | None = None) -> Response:
    """A resource as JSON."""
    response = Response(json.dumps(body), status=status, mimetype="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response


def empty_reply(status: int) -> Response:
    """An answer without a body, and so without a type of it."""
    response = Response(status=status)
    response.headers.pop("Content-Type")
    return response


def add_link(response: Response, url: str, relation: str) -> None:
    """A link header (RFC 8288)."""
    response.headers.add("Link", f'<{url}>;rel="{relation}"')


def finish(response: Response) -> Response:
    """Give an answer its nonce and its way back to the directory (§6.5, §7.1)."""
    # Where the store of nonces is away the answer, whatever it is, goes out without.
    with suppress(CaError):
        response.headers[NONCE] = services().nonces.issue()
    known: Directory | None = g.get("directory")
    if known is not None and request.endpoint != "directory.show_directory":
        add_link(response, known.url("directory"), "index")
    return response


def account_view(account: Account) -> dict[str, Any]:
    """An account (§7.1.2)."""
    body: dict[str, Any] = {
        "status": account.status,
        "contact": list(account.contacts),
        "orders": directory().url("account", account.id, "orders"),
    }
    if account.terms_agreed_at is not None:
        body["termsOfServiceAgreed"] = True
    return body


def order_view(order: Order, replaces: str | None) -> dict[str, Any]:
    """An order (§7.1.3); `replaces` as its client wrote it (RFC 9773 §5)."""
    known = directory()
    body: dict[str, Any] = {
        "status": order.status,
        "expires": _time(order.expires_at),
        "identifiers": [_order_name(each) for each in order.names],
        "profile": order.profile,
        "authorizations": [known.url("authz", each) for each in order.authorization_ids],
        "finalize": known.url("order", order.id, "finalize"),
    }
    if order.not_before is not None:
        body["notBefore"] = _time(order.not_before)
    if order.not_after is not None:
        body["notAfter"] = _time(order.not_after)
    if order.error is not None:
        body["error"] = _problem(order.error)
    if replaces is not None:
        body["replaces"] = replaces
    if order.certificate_id is not None:
        body["certificate"] = known.url("certificate", order.certificate_id)
    return body


def authorization_view(authorization: NameAuthorization) -> dict[str, Any]:
    """An authorization (§7.1.4); once it is decided, with the challenge that decided it."""
    body: dict[str, Any] = {
        "identifier": {"type": authorization.identifier.type, "value": authorization.identifier.value},
        "status": authorization.status,
        "expires": _time(authorization.expires_at),
        "challenges": [challenge_view(authorization, each) for each in _shown(authorization)],
    }
    if authorization.wildcard:
        body["wildcard"] = True
    if authorization.subdomains:
        body["subdomainAuthAllowed"] = True
    return body


def challenge_view(authorization: NameAuthorization, challenge: Challenge) -> dict[str, Any]:
    """A challenge (§8)."""
    known = directory()
    body: dict[str, Any] = {
        "type": challenge.type,
        "url": known.url("challenge", challenge.id),
        "status": challenge.status,
    }
    if challenge.type is ChallengeType.DNS_PERSIST_01:
        # The draft's -02, and what clients of its -01 read.
        issuers = list(services().settings.caa_identities)
        body |= {"issuerDomainNames": issuers, "issuer-domain-names": issuers}
        body["accounturi"] = known.url("account", authorization.account_id)
    else:
        body["token"] = challenge.token
    if challenge.validated_at is not None:
        body["validated"] = _time(challenge.validated_at)
    if challenge.error is not None:
        body["error"] = _problem(challenge.error)
    return body


def is_being_validated(authorization: NameAuthorization) -> bool:
    """Whether asking again soon makes sense."""
    return any(each.status is Status.PROCESSING for each in authorization.challenges)


def _shown(authorization: NameAuthorization) -> list[Challenge]:
    deciding = [
        each
        for each in authorization.challenges
        if authorization.status in {Status.VALID, Status.INVALID} and each.status == authorization.status
    ]
    return deciding or list(authorization.challenges)


def _order_name(name: OrderName) -> dict[str, str]:
    body = {"type": name.identifier.type.value, "value": name.identifier.value}
    if name.ancestor is not None:
        body["ancestorDomain"] = name.ancestor
    return body


def _problem(problem: Problem) -> dict[str, str]:
    return {"type": type_uri(problem.type), "detail": problem.detail}


def _time(epoch: int) -> str:
    return to_text(from_epoch(epoch))
