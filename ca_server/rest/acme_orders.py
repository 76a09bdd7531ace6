"""`/acme-orders`: what ACME clients ordered, and why an order failed."""

from __future__ import annotations

from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.core.acme.resources import Order
from ca_server.core.clock import from_epoch
from ca_server.rest.authenticate import admit
from ca_server.rest.fields import Limit, Outgoing, Query, RecordId, TimeText
from ca_server.rest.problems import responses
from ca_server.rest.queries import RecordPath
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.services import principal, services
from ca_server.services.acme import timeline

blueprint = APIBlueprint("acme_orders", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


class AcmeOrderQuery(Query):
    """How the list of orders is narrowed."""

    limit: Limit = 50
    cursor: RecordId | None = None
    account: RecordId | None = None


class AcmeOrderView(Outgoing):
    """One order; `names` are as the client asked for them."""

    id: str
    account: str
    profile: str
    status: Literal["pending", "ready", "processing", "valid", "invalid"]
    names: list[str]
    created_at: TimeText
    expires_at: TimeText
    certificate: str | None
    replaces: str | None


class AcmeOrderPage(Outgoing):
    """Orders, newest first."""

    items: list[AcmeOrderView]
    next_cursor: str | None


class TimelineEntry(Outgoing):
    """One thing that happened."""

    time: TimeText
    text: str


class AcmeOrderTimeline(AcmeOrderView):
    """An order with everything that happened to it, oldest first; the last entry says where it stands."""

    timeline: list[TimelineEntry]


@blueprint.get("/acme-orders", responses={200: AcmeOrderPage, **responses()})
def list_acme_orders(query: AcmeOrderQuery) -> Response:
    """Orders of all accounts or of one, newest first."""
    found = timeline.search_orders(
        services().context,
        principal(),
        account_id=query.account,
        before=query.cursor,
        limit=query.limit + 1,
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    items = [AcmeOrderView(**_fields(row)) for row in rows]
    return page_reply(AcmeOrderPage(items=items, next_cursor=next_cursor), next_cursor)


@blueprint.get("/acme-orders/<record_id>", responses={200: AcmeOrderTimeline, **responses(404)})
def show_acme_order(path: RecordPath) -> Response:
    """One order with its story: what was proven how, what failed why, what is still missing."""
    found = timeline.read_timeline(services().context, principal(), path.record_id)
    entries = [TimelineEntry(time=from_epoch(each.at), text=each.text) for each in found.entries]
    return reply(AcmeOrderTimeline(**_fields(found.order), timeline=entries))


def _fields(order: Order) -> dict[str, object]:
    return {
        "id": order.id,
        "account": order.account_id,
        "profile": order.profile,
        "status": order.status.value,
        "names": [str(name.identifier) for name in order.names],
        "created_at": from_epoch(order.created_at),
        "expires_at": from_epoch(order.expires_at),
        "certificate": order.certificate_id,
        "replaces": order.replaces,
    }
