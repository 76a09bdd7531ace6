"""`/certificate-requests`: asks the gate for a certificate, and shows what became of earlier requests."""

from __future__ import annotations

import hashlib
from typing import cast

from flask import Response, g
from flask_openapi.blueprint import APIBlueprint

from ca_server.core.authorization import Authorization
from ca_server.core.csr import Csr, parse_csr
from ca_server.core.csr_encoding import load_request, to_pem
from ca_server.core.errors import CaError, Kind
from ca_server.core.roles import Action
from ca_server.core.signatures import PublicKey, spki_sha256
from ca_server.rest.approvals import view_of
from ca_server.rest.authenticate import admit, record_refusal
from ca_server.rest.problems import responses
from ca_server.rest.queries import CertificateRequestQuery, RecordPath
from ca_server.rest.replies import PREFIX, page_reply, reply, split_page
from ca_server.rest.schemas import (
    CertificateRequestDetail,
    CertificateRequestItem,
    CertificateRequestPage,
    CertificateRequestView,
    IdempotencyHeader,
    IssuedCertificateView,
    NewCertificateRequest,
)
from ca_server.rest.services import principal, services
from ca_server.services import inventory, metrics
from ca_server.services.access import authorize_request
from ca_server.services.approvals import list_approvals
from ca_server.services.certificate_request import CertificateRequest, Idempotency
from ca_server.services.context import actor_of
from ca_server.services.outcome import IssuedCertificate
from ca_server.services.pending import ApprovalPending
from ca_server.store.inventory import RequestRecord

blueprint = APIBlueprint("certificate_requests", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)

_RESULTS = {Kind.UNAVAILABLE: "unavailable", Kind.INTERNAL: "error", Kind.NOT_READY: "pending"}


@blueprint.post(
    "/certificate-requests",
    responses={201: CertificateRequestView, **responses(404, 409, 413, 415, 422, 429)},
)
def create_certificate_request(header: IdempotencyHeader, body: NewCertificateRequest) -> Response:
    """Ask for a certificate; the same Idempotency-Key with the same body gives the same certificate.

    Where the profile needs approvals the status is `pending`: ask again, with the same key and body, once
    officers have approved.
    """
    csr, authorization = _authorize(body)
    digest = hashlib.sha256(body.model_dump_json(exclude_none=True).encode()).hexdigest()
    wanted = CertificateRequest(
        csr=csr,
        authorization=authorization,
        not_before=body.not_before,
        not_after=body.not_after,
        idempotency=Idempotency(header.idempotency_key, digest),
    )
    try:
        issued = _issue(wanted)
    except ApprovalPending as pending:
        return _wait(pending)
    g.serial_number = issued.serial_number
    view = CertificateRequestView(
        id=issued.request_id,
        status="issued",
        certificate=_issued_view(
            issued.certificate_id, issued.serial_number, issued.der, issued.authority_id
        ),
    )
    return reply(view, 201, location=f"{PREFIX}/certificate-requests/{issued.request_id}")


@blueprint.get("/certificate-requests", responses={200: CertificateRequestPage, **responses()})
def list_certificate_requests(query: CertificateRequestQuery) -> Response:
    """Requests, newest first; a requester sees its own."""
    found = inventory.list_requests(
        services().context, principal(), status=query.status, after=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    page = CertificateRequestPage(items=[_item(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


@blueprint.get(
    "/certificate-requests/<record_id>", responses={200: CertificateRequestDetail, **responses(404)}
)
def show_certificate_request(path: RecordPath) -> Response:
    """What became of a request."""
    record = inventory.find_request(services().context, principal(), path.record_id)
    certificate = None
    if record.certificate_id is not None:
        found = inventory.find_certificate(services().context, principal(), record.certificate_id)
        certificate = _issued_view(found.id, found.serial_number, found.der, found.authority_id)
    csr = load_request(record.csr_der)
    return reply(
        CertificateRequestDetail(
            **_item(record).model_dump(mode="python", exclude={"certificate_id", "created_at"}),
            created_at=record.created_at,
            detail=record.detail,
            subject=csr.subject.rfc4514_string(),
            not_before=record.requested["not_before"],
            not_after=record.requested["not_after"],
            spki_sha256=spki_sha256(cast("PublicKey", csr.public_key())),
            csr=to_pem(record.csr_der),
            approvals=[view_of(each) for each in list_approvals(services().context, record)],
            certificate=certificate,
        )
    )


def _wait(pending: ApprovalPending) -> Response:
    """What whoever has to wait for officers is told, and when to ask again."""
    view = CertificateRequestView(id=pending.request_id, status="pending", certificate=None)
    response = reply(view, 201, location=f"{PREFIX}/certificate-requests/{pending.request_id}")
    response.headers["Retry-After"] = str(pending.retry_after)
    return response


def _authorize(body: NewCertificateRequest) -> tuple[Csr, Authorization]:
    """REST's completion step; what it refuses never reaches the gate, so it is written down here."""
    try:
        csr = parse_csr(body.csr.encode("ascii"))
        return csr, authorize_request(services().mint, principal(), body.profile, csr)
    except CaError as error:
        record_refusal(error, Action.REQUEST_CERTIFICATE, actor_of(principal()))
        raise


def _issue(wanted: CertificateRequest) -> IssuedCertificate:
    profile, authority, result = wanted.authorization.profile, "none", "error"
    try:
        issued = services().gate.issue(wanted)
        authority, result = issued.authority_id, "success"
    except CaError as error:
        result = _RESULTS.get(error.kind, "refused")
        raise
    finally:
        # A label that the client chose freely would let it fill our memory.
        known = profile if profile in services().policies.names else "unknown"
        metrics.ISSUED.labels(authority, known, "rest", result).inc()
    return issued


def _issued_view(
    certificate_id: str, serial_number: str, der: bytes, authority_id: str
) -> IssuedCertificateView:
    return IssuedCertificateView(
        id=certificate_id,
        serial_number=serial_number,
        pem_chain=services().chains.pem(der, authority_id),
    )


def _item(record: RequestRecord) -> CertificateRequestItem:
    return CertificateRequestItem(
        id=record.id,
        status=record.status,
        profile=record.profile,
        protocol=record.protocol,
        principal=record.principal_id,
        created_at=record.created_at,
        names=record.requested["identifiers"],
        rule_ids=list(record.rule_ids),
        certificate_id=record.certificate_id,
    )
