"""`/audit-events`: the audit log, newest first, for auditors; its proofs are under `/audit`."""

from __future__ import annotations

import json

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.core.clock import to_epoch
from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import AuditEventQuery
from ca_server.rest.replies import PREFIX, page_reply, split_page
from ca_server.rest.schemas import AuditEventPage, AuditEventView
from ca_server.rest.services import principal, services
from ca_server.services import inventory
from ca_server.store.audit import EventFilter, StoredEvent

blueprint = APIBlueprint("audit_events", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


@blueprint.get("/audit-events", responses={200: AuditEventPage, **responses()})
def list_audit_events(query: AuditEventQuery) -> Response:
    """Events, newest first."""
    wanted = EventFilter(
        kind=query.kind,
        actor=query.actor,
        since=None if query.since is None else to_epoch(query.since),
        until=None if query.until is None else to_epoch(query.until),
    )
    before = None if query.cursor is None else int(query.cursor)
    found = inventory.list_audit_events(
        services().context, principal(), wanted, before=before, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: str(row.number))
    page = AuditEventPage(items=[_view(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


def _view(event: StoredEvent) -> AuditEventView:
    return AuditEventView(
        event_id=event.event_id,
        leaf_index=event.leaf_index,
        leaf_hash=event.leaf_hash.hex(),
        leaf=json.loads(event.body),
    )
