"""When the delegated certificates end, in the words of x509-certificate-exporter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ca_server.core.clock import to_epoch
from ocsp_responder.signer import Issuer

_LABELS = ("serial_number", "subject_CN", "issuer_CN", "filepath")


class DelegatedCertificates(Collector):
    """Known from the start and the same in every process, so it is no part of what processes add up."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = issuers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample for each authority that is answered for."""
        ends = GaugeMetricFamily("x509_cert_not_after", "End of validity.", labels=_LABELS)
        for issuer in self._issuers:
            certificate = issuer.signer.certificate
            values = [
                str(certificate.serial_number),
                _common_name(certificate.subject),
                _common_name(certificate.issuer),
                f"inventory/responder/{issuer.authority_id}",
            ]
            ends.add_metric(values, to_epoch(certificate.not_valid_after_utc))
        yield ends


def _common_name(name: x509.Name) -> str:
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""
