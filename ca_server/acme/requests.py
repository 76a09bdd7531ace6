"""The lock on the door: every signed request is judged here, in one order, before a handler runs.

Size, media type, form, algorithm, URL, key or account, signature, and only then the nonce: what a stranger
forges uses nothing up.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import UnsupportedMediaType

from ca_server.acme.routes import ROUTES, Payload, Proof, Route
from ca_server.acme.services import services
from ca_server.acme.urls import directory, open_directory, request_url
from ca_server.core.acme.resources import Account
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.jose import Jwk, Jws, parse_jwk, parse_jws, verify
from ca_server.core.strict_json import parse_json
from ca_server.services import metrics
from ca_server.services.acme.accounts import find_account, principal_of, require_valid

MEDIA_TYPE = "application/jose+json"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a client has proven to have sent: by an account, or by a key that brings itself.

    `payload` is None for a POST-as-GET.
    """

    account: Account | None
    jwk: Jwk
    payload: Mapping[str, Any] | None


def take_profile(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Keep the profile that each of our URLs begins with, so that no handler has to."""
    if values is not None:
        g.profile_name = values.pop("profile")


def admit() -> None:
    """Let a request through to its handler, or refuse it.

    Raises:
        CaError: the first thing that is wrong, an `ACME-...` rule.
    """
    held = services()
    if request.url_rule is None:
        # No route: Flask itself refuses it next, with the way back to the directory that it seemed to be in.
        with suppress(CaError, IndexError):
            g.directory = open_directory(held.policies, held.hosts, request.path.split("/")[2])
        return
    g.directory = open_directory(held.policies, held.hosts, g.profile_name)
    route = ROUTES[request.endpoint or ""]
    if route.proof is Proof.NONE:
        return
    try:
        g.signed = _read(route)
    except CaError as error:
        if error.kind is not Kind.UNAVAILABLE:
            for rule_id in error.rule_ids:
                metrics.REFUSED.labels(rule_id).inc()
        raise


def signed() -> SignedRequest:
    """The request as it was proven; set by `admit`."""
    found: SignedRequest = g.signed
    return found


def account() -> Account:
    """The account that signed, where a route asks for one."""
    found = signed().account
    assert found is not None
    return found


def payload() -> Mapping[str, Any]:
    """What the account sent, where a route asks for something."""
    found = signed().payload
    assert found is not None
    return found


def account_url(found: Account) -> str:
    """The account's URL, which is its `kid`."""
    return directory().url("account", found.id)


def _read(route: Route) -> SignedRequest:
    jws = parse_jws(_body())
    if jws.url != request_url():
        raise refuse(Kind.UNAUTHENTICATED, "ACME-URL", "the request was signed for another URL (§6.4)")
    _require_form(jws, route.proof)
    found, jwk = _signer(jws)
    data = verify(jws, jwk)
    if jws.nonce is None:
        raise refuse(Kind.BAD_NONCE, "ACME-NONCE", "the protected header needs a nonce; take the new one")
    services().nonces.redeem(jws.nonce)
    if found is not None:
        g.principal = principal_of(found)
        require_valid(found)
    return SignedRequest(found, jwk, _payload(data, route.payload))


def _body() -> bytes:
    """The body, whose size is counted as it is read, whatever a header promised (R32)."""
    if request.mimetype != MEDIA_TYPE or request.content_encoding not in {None, "identity"}:
        raise UnsupportedMediaType
    try:
        data = request.get_data(cache=True)
        # At the cap a stream ends as if the body did; only asking for more tells the two apart.
        request.stream.read(1)
    except ParseException as error:
        raise refuse(Kind.MALFORMED, "ACME-JWS", "the body is not framed as HTTP wants it") from error
    return data


def _require_form(jws: Jws, proof: Proof) -> None:
    """By account or by key, as the route wants it (§6.2)."""
    if proof is Proof.ACCOUNT and jws.kid is None:
        raise refuse(Kind.MALFORMED, "ACME-JWS", "this request is signed by an account: use kid, not jwk")
    if proof is Proof.NEW_KEY and jws.jwk is None:
        raise refuse(Kind.MALFORMED, "ACME-JWS", "this request brings its own key: use jwk, not kid")


def _signer(jws: Jws) -> tuple[Account | None, Jwk]:
    if jws.kid is None:
        return None, parse_jwk(jws.jwk)
    account_id = directory().account_id(jws.kid)
    if account_id is None:
        raise refuse(
            Kind.UNAUTHENTICATED, "ACME-ACCOUNT-UNKNOWN", "kid is not the URL of an account of this directory"
        )
    found = find_account(services().context, directory().profile.name, account_id)
    return found, parse_jwk(found.jwk)


def _payload(data: bytes, wanted: Payload) -> Mapping[str, Any] | None:
    if not data:
        if wanted is Payload.OBJECT:
            raise _bad_payload("this request needs a payload")
        return None
    if wanted is Payload.NOTHING:
        raise _bad_payload("this resource is read by POST-as-GET: the payload is empty (§6.3)")
    try:
        value = parse_json(data)
    except ValueError as error:
        raise _bad_payload("the payload is not JSON") from error
    if not isinstance(value, dict):
        raise _bad_payload("the payload is not a JSON object")
    return value


def _bad_payload(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-PAYLOAD", detail)
