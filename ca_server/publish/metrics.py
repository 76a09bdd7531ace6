"""`/metrics` for Prometheus: the sum of every worker's counters, and what the database says of our own keys.

Authorities and CRLs carry the names of x509-certificate-exporter, so that dashboards people have show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.x509.oid import NameOID
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

import ca_server
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError
from ca_server.services.context import Context
from ca_server.store.audit import find_log, newest_head
from ca_server.store.authorities import StoredAuthority, list_authorities
from ca_server.store.crls import CrlRecord, find_published

log = structlog.get_logger(__name__)


def metrics_blueprint(context: Context, directories: tuple[Path, ...]) -> Blueprint:
    """`directories` are where the workers of each door keep their values; none means this process alone."""
    blueprint = Blueprint("metrics", __name__)
    workers: Collector = _Workers(directories) if directories else REGISTRY

    @blueprint.get("/metrics")
    def metrics() -> Response:
        registry = CollectorRegistry()
        registry.register(workers)
        registry.register(_Stored(context))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return blueprint


class _Workers(Collector):
    """Adds up what the processes of several doors wrote down."""

    def __init__(self, directories: tuple[Path, ...]) -> None:
        self._directories = directories

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for folder in self._directories for path in folder.glob("*.db")]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)
        return merged


class _Stored(Collector):
    """What one look into the database tells; a database that is away is told, too."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "sealkeeper_build_info", "Always 1; the version is a label.", labels=["version"]
        )
        build.add_metric([ca_server.__version__], 1)
        yield build
        try:
            families = list(self._read())
        except CaError as error:
            log.warning("metrics.database_away", reason=error.detail)
            families = []
        yield GaugeMetricFamily("x509_source_up", "1 when the database answered.", value=bool(families))
        yield from families

    def _read(self) -> Iterator[Metric]:
        with self._context.database.read() as connection:
            authorities = list_authorities(connection)
            crls = {each.id: find_published(connection, each.id) for each in authorities}
            state = find_log(connection)
            head = newest_head(connection, signed=True)
        now = to_epoch(self._context.clock.now())
        yield from _certificates(authorities, now)
        yield from _crls([(each, crl) for each in authorities if (crl := crls[each.id])], now)
        yield GaugeMetricFamily(
            "sealkeeper_audit_size", "Events in the tree.", value=state.tree_size if state else 0
        )
        yield GaugeMetricFamily(
            "sealkeeper_audit_checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed.",
            value=head.time if head else 0,
        )


def _certificates(authorities: list[StoredAuthority], now: int) -> Iterator[Metric]:
    labels = ("serial_number", "subject_CN", "issuer_CN", "filepath")
    starts = GaugeMetricFamily("x509_cert_not_before", "Start of validity.", labels=labels)
    ends = GaugeMetricFamily("x509_cert_not_after", "End of validity.", labels=labels)
    expired = GaugeMetricFamily("x509_cert_expired", "1 when the end has passed.", labels=labels)
    for each in authorities:
        certificate = _load(each)
        values = [
            str(certificate.serial_number),
            _common_name(certificate.subject),
            _common_name(certificate.issuer),
            f"inventory/authority/{each.id}",
        ]
        end = to_epoch(certificate.not_valid_after_utc)
        starts.add_metric(values, to_epoch(certificate.not_valid_before_utc))
        ends.add_metric(values, end)
        expired.add_metric(values, now > end)
    yield from (starts, ends, expired)


def _crls(published: list[tuple[StoredAuthority, CrlRecord]], now: int) -> Iterator[Metric]:
    labels = ("issuer_CN", "filepath")
    numbers = GaugeMetricFamily("x509_crl_number", "Number of the CRL that is out.", labels=labels)
    starts = GaugeMetricFamily("x509_crl_this_update", "When it was made.", labels=labels)
    ends = GaugeMetricFamily("x509_crl_next_update", "When the next is due at the latest.", labels=labels)
    stale = GaugeMetricFamily("x509_crl_stale", "1 when that has passed.", labels=labels)
    for authority, crl in published:
        values = [_common_name(_load(authority).subject), f"inventory/crl/{authority.id}"]
        numbers.add_metric(values, crl.crl_number)
        starts.add_metric(values, crl.this_update)
        ends.add_metric(values, crl.next_update)
        stale.add_metric(values, now > crl.next_update)
    yield from (numbers, starts, ends, stale)


def _load(authority: StoredAuthority) -> x509.Certificate:
    return x509.load_der_x509_certificate(authority.certificate_der)


def _common_name(name: x509.Name) -> str:
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""
