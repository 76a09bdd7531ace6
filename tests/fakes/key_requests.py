"""CSRs that name a key to protect a server-made one with; their signatures fit no more, and need not."""

from __future__ import annotations

from asn1crypto import core, parser
from asn1crypto.csr import CertificationRequest

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
    info = request["certification_request_info"]
    attributes = [each.dump() for each in info["attributes"]]
    for oid, value in values.items():
        if value is not None:
            oid_der = core.ObjectIdentifier(oid.dotted_string).dump()
            attributes.append(_sequence(oid_der, parser.emit(0, 1, 17, value)))
    fields = [info[word].dump() for word in ("version", "subject", "subject_pk_info")]
    return _sequence(
        _sequence(*fields, parser.emit(2, 1, 0, b"".join(sorted(attributes)))),
        request["signature_algorithm"].dump(),
        request["signature"].dump(),
    )


def _sequence(*parts: bytes) -> bytes:
    return parser.emit(0, 1, 16, b"".join(parts))
