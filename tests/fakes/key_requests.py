"""CSRs that name a key to protect a server-made one with; their signatures fit no more, and need not."""

from __future__ import annotations

from asn1crypto import core
from asn1crypto.csr import CertificationRequest
from cryptography import x509

from ca_server.core.est.server_key_request import ASYMMETRIC_KEY, CAPABILITIES, SYMMETRIC_KEY
from tests.fakes.paper_authority import csr_der, dns


def key_request(
    *names: str,
    symmetric: bytes | None = None,
    asymmetric: bytes | None = None,
    capabilities: tuple[str, ...] | bytes | None = None,
    **more,
) -> bytes:
    """A CSR in DER; `capabilities` are dotted OIDs, or the DER of something else."""
    request = CertificationRequest.load(csr_der(dns(*names) if names else (), **more))
    if isinstance(capabilities, tuple):
        capabilities = _sequence(*(_sequence(core.ObjectIdentifier(each).dump()) for each in capabilities))
    values = {
        SYMMETRIC_KEY: None if symmetric is None else core.OctetString(symmetric).dump(),
        ASYMMETRIC_KEY: None if asymmetric is None else core.OctetString(asymmetric).dump(),
        CAPABILITIES: capabilities,
    }
    for oid, value in values.items():
        if value is not None:
            _add(request, oid, value)
    return request.dump(force=True)


def _add(request: CertificationRequest, oid: x509.ObjectIdentifier, value: bytes) -> None:
    attributes = request["certification_request_info"]["attributes"]
    values = core.Any.load(core.SetOf([core.Any.load(value)], spec=core.Any).dump())
    attributes.append({"type": oid.dotted_string, "values": values})


def _sequence(*parts: bytes) -> bytes:
    return core.SequenceOf([core.Any.load(each) for each in parts], spec=core.Any).dump()
