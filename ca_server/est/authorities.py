"""What everybody may know: our certificates, and what a CSR should hold (RFC 7030 §4.1, §4.5)."""

from __future__ import annotations

from flask import Blueprint, Response

from ca_server.core.est.certs_only import certs_only
from ca_server.core.est.csr_attributes import csr_attributes
from ca_server.est.replies import CERTS_ONLY, CSR_ATTRIBUTES, reply
from ca_server.est.requests import label
from ca_server.est.routes import PREFIX
from ca_server.est.services import services

blueprint = Blueprint("authorities", __name__, url_prefix=PREFIX)


@blueprint.get("/cacerts")
@blueprint.get("/<label>/cacerts")
def cacerts() -> Response:
    """All our authorities, and the ways between an old root and a new one; the same for every label."""
    return reply(certs_only(services().authorities.all()), CERTS_ONLY)


@blueprint.get("/csrattrs")
@blueprint.get("/<label>/csrattrs")
def csrattrs() -> Response:
    """What the profile wants of a CSR, as RFC 9908 tells it."""
    return reply(csr_attributes(label().require_profile()), CSR_ATTRIBUTES)
