"""`/client-grants`: gives a role to a public key, so that a client certificate with that key can log in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from flask import Response
from flask_openapi.blueprint import APIBlueprint

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import key_type_of, spki_sha256
from ca_server.rest.authenticate import admit
from ca_server.rest.problems import responses
from ca_server.rest.queries import CredentialQuery, RecordPath
from ca_server.rest.replies import PREFIX, credential_fields, page_reply, reply, split_page
from ca_server.rest.schemas import ClientGrantPage, ClientGrantView, NewClientGrant
from ca_server.rest.services import principal, services
from ca_server.services import credentials
from ca_server.store.access import Credential, CredentialType

blueprint = APIBlueprint("client_grants", __name__, url_prefix=PREFIX)
blueprint.before_request(admit)


@blueprint.post("/client-grants", responses={201: ClientGrantView, **responses(409, 413, 415)})
def create_client_grant(body: NewClientGrant) -> Response:
    """Grant a role to a public key, given by its SHA-256 or by a certificate that carries it."""
    grant = credentials.Grant(
        body.name, body.role, body.profiles, body.names, timedelta(days=body.valid_days)
    )
    created = credentials.create_grant(services().context, principal(), grant, _key_of(body))
    return reply(_view(created), 201, location=f"{PREFIX}/client-grants/{created.id}")


@blueprint.get("/client-grants", responses={200: ClientGrantPage, **responses()})
def list_client_grants(query: CredentialQuery) -> Response:
    """Grants, newest first, ended ones too."""
    found = credentials.list_credentials(
        services().context, principal(), CredentialType.GRANT, after=query.cursor, limit=query.limit + 1
    )
    rows, next_cursor = split_page(found, query.limit, lambda row: row.id)
    page = ClientGrantPage(items=[_view(row) for row in rows], next_cursor=next_cursor)
    return page_reply(page, next_cursor)


@blueprint.delete("/client-grants/<record_id>", responses={204: None, **responses(404)})
def revoke_client_grant(path: RecordPath) -> Response:
    """End a grant, from the next request on; its key is never granted anything again."""
    credentials.revoke_credential(services().context, principal(), CredentialType.GRANT, path.record_id)
    return Response(status=204)


def _key_of(body: NewClientGrant) -> str:
    if (body.spki_sha256 is None) == (body.certificate is None):
        raise _bad_key("give spki_sha256 or certificate, one of the two")
    if body.spki_sha256 is not None:
        return body.spki_sha256
    try:
        public_key: Any = x509.load_pem_x509_certificate((body.certificate or "").encode()).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key("the certificate is not PEM or not well formed") from error
    if key_type_of(public_key) is None:
        raise _bad_key("the certificate's key is of a type that is not certified here")
    return spki_sha256(public_key)


def _view(credential: Credential) -> ClientGrantView:
    return ClientGrantView(**credential_fields(credential), spki_sha256=credential.digest)


def _bad_key(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACCESS-NEW-KEY", detail, pointer="/certificate")
