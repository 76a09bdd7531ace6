"""Opens each door of `sealkeeper serve` in a worker process, after fork."""

from __future__ import annotations

from functools import partial

from ca_server.compose import Issuance, SystemClock, open_context, open_issuance, tls_files
from ca_server.config import Config
from ca_server.core.audit.note import parse_verifier_key
from ca_server.logs import configure_logs
from ca_server.publish.audit import audit_blueprint
from ca_server.publish.crl import crl_blueprint
from ca_server.publish.health import Checks
from ca_server.publish.services import PublicationServices
from ca_server.rest.services import RestServices
from ca_server.services.audit_reading import AuditReader
from ca_server.services.chains import Chains
from ca_server.services.context import Context
from ca_server.services.cross_certificates import read_cross_chains
from ca_server.services.health import require_audit_log, require_database
from ca_server.services.refusals import RefusalLog
from ca_server.serving import WORKER_METRICS, Door, DoorSettings, Opened
from ca_server.wsgi import create_api_app, create_publication_app


def api_door(config: Config) -> Door:
    """The HTTPS door: REST for those who have proven who they are."""
    settings = DoorSettings(
        name="api",
        listen=config.server.https,
        workers=config.server.workers,
        threads=config.server.threads,
        tls=tls_files(config),
        pin_workers=config.server.pin_workers,
    )
    return Door(settings, lambda: _open_api(config))


def publication_door(config: Config) -> Door:
    """The plain HTTP door: CRLs, issuers, the audit log, health and metrics. It needs no HSM."""
    settings = DoorSettings(
        name="publication", listen=config.server.http, workers=1, threads=config.server.threads, tls=None
    )
    return Door(settings, lambda: _open_publication(config))


DOORS = {"api": api_door, "publication": publication_door}


def _open_api(config: Config) -> Opened:
    configure_logs(SystemClock())
    issuance = open_issuance(config, "api")
    context = issuance.context
    rest = RestServices(
        context=context,
        mint=issuance.mints["rest"],
        gate=issuance.gate,
        policies=issuance.policies,
        chains=Chains(context, read_cross_chains(context, config.publication.cross_certificates)),
        refusals=RefusalLog(context),
    )
    publication = PublicationServices(context=context, checks=_api_checks(issuance))
    return Opened(create_api_app(rest, publication), issuance.close)


def _open_publication(config: Config) -> Opened:
    configure_logs(SystemClock())
    context = open_context(config)
    key = parse_verifier_key(config.audit.vkey)
    publication = PublicationServices(
        context=context,
        checks=_checks(context),
        metrics_directories=tuple(
            config.state_directory / "metrics" / name for name in (*DOORS, WORKER_METRICS)
        ),
        resources=(crl_blueprint(context), audit_blueprint(AuditReader(context.database), key)),
    )
    return Opened(create_publication_app(publication), context.database.close)


def _checks(context: Context) -> Checks:
    return {
        "database": partial(require_database, context),
        "audit-log": partial(require_audit_log, context),
    }


def _api_checks(issuance: Issuance) -> Checks:
    return {**_checks(issuance.context), "hsm": issuance.lane.require_ready}
