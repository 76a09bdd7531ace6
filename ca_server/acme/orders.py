"""Orders: made, read and finalized (RFC 8555 §7.4)."""

from __future__ import annotations

from flask import Blueprint, Response

from ca_server.acme.identifiers import read_names
from ca_server.acme.payloads import FinalizePayload, NewOrderPayload, read_payload
from ca_server.acme.replies import RETRY_AFTER, order_view, reply
from ca_server.acme.requests import account, account_url, payload
from ca_server.acme.services import services
from ca_server.acme.urls import ROOT, acme_profile, directory
from ca_server.core.acme.resources import Order, Status
from ca_server.core.base64url import decode_base64url
from ca_server.core.errors import Kind, refuse
from ca_server.core.profile import Profile
from ca_server.services.acme import orders
from ca_server.services.acme.finalize import finalize
from ca_server.services.acme.orders import NewOrder
from ca_server.services.acme.renewal import certid_text

blueprint = Blueprint("orders", __name__, url_prefix=ROOT)


@blueprint.post("/new-order")
def new_order() -> Response:
    """An order, with the authorizations that it needs."""
    held, asked = services(), read_payload(NewOrderPayload, payload())
    profile = _profile(asked.profile)
    new = NewOrder(read_names(asked.identifiers), asked.not_before, asked.not_after, asked.replaces)
    order = orders.create_order(held.context, held.rules, account(), profile, new)
    return _answer(order, 201)


@blueprint.post("/order/<id:order_id>")
def show_order(order_id: str) -> Response:
    """An order of this account."""
    return _answer(orders.find_order(services().context, account(), order_id))


@blueprint.post("/order/<id:order_id>/finalize")
def finalize_order(order_id: str) -> Response:
    """Ask for the certificate; usually it is there with the answer."""
    found = account()
    csr = _csr(read_payload(FinalizePayload, payload()).csr)
    return _answer(finalize(services().completion, found, account_url(found), order_id, csr))


def _answer(order: Order, status: int = 200) -> Response:
    replaces = None
    if order.replaces is not None:
        replaces = certid_text(services().context, order.replaces)
    response = reply(order_view(order, replaces), status, location=directory().url("order", order.id))
    if order.status is Status.PROCESSING:
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _profile(name: str | None) -> Profile:
    """The profile that an order names, or the directory's own."""
    if name is None:
        return directory().profile
    found = acme_profile(services().policies, name)
    if found is None:
        raise refuse(
            Kind.MALFORMED, "ACME-PROFILE", "there is no such profile; meta.profiles has all of them"
        )
    return found


def _csr(text: str) -> bytes:
    """DER in base64url, and never PEM (§7.4)."""
    der = decode_base64url(text)
    if der is None or not der.startswith(b"\x30"):
        raise refuse(Kind.BAD_CSR, "CSR-ENCODING", "csr is the base64url of a PKCS#10 request in DER")
    return der
