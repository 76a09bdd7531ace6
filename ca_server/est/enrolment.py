"""Certificates: the first one, the next one, and one with a key that is made here (RFC 7030 §4.2, §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from flask import Blueprint, Response, g

from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.certs_only import certs_only
from ca_server.core.est.resources import PROTOCOL
from ca_server.core.est.server_key_request import read_server_key_request
from ca_server.est.bodies import read_csr, read_der
from ca_server.est.replies import CERTS_ONLY, Part, multipart_reply, reply
from ca_server.est.requests import (
    applicant,
    label,
    peer,
    predecessor,
    record_refusal,
    refusals_written,
)
from ca_server.est.routes import PREFIX
from ca_server.est.services import services
from ca_server.services import metrics
from ca_server.services.est.enrol import enrol
from ca_server.services.est.reenrol import reenrol
from ca_server.services.est.server_keys import make_server_key
from ca_server.services.outcome import IssuedCertificate

blueprint = Blueprint("enrolment", __name__, url_prefix=PREFIX)

_RESULTS = {Kind.NOT_READY: "pending", Kind.UNAVAILABLE: "unavailable", Kind.INTERNAL: "error"}
# Rules of the step before the gate; what the gate itself refuses it writes down itself.
_BEFORE_THE_GATE = ("ACCESS-", "CSR-", "EST-")

Made = TypeVar("Made")


@blueprint.post("/simpleenroll")
@blueprint.post("/<label>/simpleenroll")
def simpleenroll() -> Response:
    """A first certificate for whoever the credentials stand for; the answer holds it alone (§4.2.3)."""
    profile, csr = label().require_profile(), _csr()
    issued = _ask(profile.name, lambda: enrol(services().parts, applicant(), profile, csr))
    return reply(_hand_out(profile.name, issued), CERTS_ONLY)


@blueprint.post("/simplereenroll")
@blueprint.post("/<label>/simplereenroll")
def simplereenroll() -> Response:
    """The next certificate for whoever holds the one that ends; without a label, of the same profile."""
    known, csr = label(), _csr()
    parts, old = services().parts, predecessor()
    profile = known.require_profile() if known.name is not None else None
    own = old.record.profile if old.record is not None else ""
    issued = _ask(own, lambda: reenrol(parts, old, peer(), profile, csr))
    return reply(_hand_out(own, issued), CERTS_ONLY)


@blueprint.post("/serverkeygen")
@blueprint.post("/<label>/serverkeygen")
def serverkeygen() -> Response:
    """A key that is made here, with its certificate, for who cannot make one; it is kept nowhere (§4.4)."""
    held, profile = services(), label().require_profile()
    with refusals_written():
        wanted = read_server_key_request(read_der())
    made = _ask(profile.name, lambda: make_server_key(held.parts, applicant(), profile, wanted, held.signer))
    certificate = _hand_out(profile.name, made.issued)
    return multipart_reply([Part(made.media_type, made.key_part), Part(CERTS_ONLY, certificate)])


def _csr() -> Csr:
    with refusals_written():
        return read_csr()


def _ask(profile: str, ask: Callable[[], Made]) -> Made:
    """What a service makes of a request; a failure is counted, and written down where the gate did not."""
    try:
        return ask()
    except CaError as error:
        _count("none", profile, _RESULTS.get(error.kind, "refused"))
        if any(each.startswith(_BEFORE_THE_GATE) for each in error.rule_ids):
            record_refusal(error)
        raise
    except Exception:
        _count("none", profile, "error")
        raise


def _hand_out(profile: str, issued: IssuedCertificate) -> bytes:
    """The certificate alone, counted."""
    _count(issued.authority_id, profile, "success")
    g.serial_number = issued.serial_number
    return certs_only([x509.load_der_x509_certificate(issued.der)])


def _count(authority: str, profile: str, result: str) -> None:
    # A certificate may be of a profile that there is no more.
    known = profile if profile in services().parts.policies.names else "unknown"
    metrics.ISSUED.labels(authority, known, PROTOCOL, result).inc()
