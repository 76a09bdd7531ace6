"""Opens each door of `sealkeeper serve` in a worker process, after fork."""

from __future__ import annotations

import pwd
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from ca_server.acme.services import AcmeServices
from ca_server.compose import Issuance, SystemClock, open_context, open_issuance
from ca_server.config import Config
from ca_server.core.acme.resources import PROTOCOL as ACME
from ca_server.core.acme.settings import AcmeConfig
from ca_server.core.audit.note import parse_verifier_key
from ca_server.core.errors import CaError, Kind
from ca_server.core.est.resources import PROTOCOL as EST
from ca_server.core.est.settings import EstConfig
from ca_server.est.labels import Labels
from ca_server.est.services import EstServices
from ca_server.logs import configure_logs
from ca_server.outbound.resolver import Resolver
from ca_server.own_tls import tls_files
from ca_server.peer import with_peers
from ca_server.publish.audit import audit_blueprint
from ca_server.publish.crl import crl_blueprint
from ca_server.publish.health import Checks
from ca_server.publish.services import PublicationServices
from ca_server.rest.services import RestServices
from ca_server.services.acme.caa import CaaChecks
from ca_server.services.acme.finalize import Completion
from ca_server.services.acme.nonces import Nonces
from ca_server.services.acme.orders import OrderRules
from ca_server.services.audit_reading import AuditReader
from ca_server.services.chains import Chains
from ca_server.services.context import Context
from ca_server.services.cross_certificates import CrossChain, imported_cross_chains, read_cross_chains
from ca_server.services.est.authority_certificates import AuthorityCertificates
from ca_server.services.est.manufacturers import Manufacturers
from ca_server.services.est.parts import EstParts
from ca_server.services.est.server_keys import PackageSigner
from ca_server.services.health import require_audit_log, require_database
from ca_server.services.refusals import RefusalLog
from ca_server.serving import WORKER_METRICS, Door, DoorSettings, Opened
from ca_server.store.nonces import NonceStore, open_nonce_store
from ca_server.wsgi import create_api_app, create_publication_app


def api_door(config: Config) -> Door:
    """The HTTPS door: REST, ACME and EST for those who have proven who they are."""
    proxy = _proxy(config.server.proxy_user)
    settings = DoorSettings(
        name="api",
        listen=config.server.https,
        workers=config.server.workers,
        threads=config.server.threads,
        tls=None if config.server.is_behind_proxy else tls_files(config),
        pin_workers=config.server.pin_workers,
        group=proxy.pw_gid if proxy else None,
    )
    return Door(settings, lambda: _open_api(config, proxy.pw_uid if proxy else None))


def publication_door(config: Config) -> Door:
    """The plain HTTP door: CRLs, issuers, the audit log, health and metrics. It needs no HSM."""
    settings = DoorSettings(
        name="publication", listen=config.server.http, workers=1, threads=config.server.threads, tls=None
    )
    return Door(settings, lambda: _open_publication(config))


DOORS = {"api": api_door, "publication": publication_door}


def _proxy(user: str | None) -> pwd.struct_passwd | None:
    """The proxy's user and group by number; a name that means nobody keeps the door shut."""
    if user is None:
        return None
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise CaError(Kind.NOT_FOUND, f"server.proxy_user: this machine has no user {user}") from error


def _open_api(config: Config, proxy_uid: int | None) -> Opened:
    configure_logs(SystemClock())
    issuance = open_issuance(config, "api")
    context = issuance.context
    crossed = (
        *read_cross_chains(context, config.publication.cross_certificates),
        *imported_cross_chains(context),
    )
    chains = Chains(context, crossed)
    rest = RestServices(
        context=context,
        mint=issuance.mints["rest"],
        gate=issuance.gate,
        policies=issuance.policies,
        chains=chains,
        refusals=RefusalLog(context),
    )
    publication = PublicationServices(context=context, checks=_api_checks(issuance))
    closing = ExitStack()
    closing.callback(issuance.close)
    acme = None
    if config.acme is not None:
        nonces = open_nonce_store(context.database)
        closing.callback(nonces.close)
        acme = _acme_services(config, config.acme, issuance, chains, nonces)
    est = None
    if config.est is not None:
        est = _est_services(config, config.est, issuance, rest.refusals, crossed)
    return Opened(with_peers(create_api_app(rest, publication, acme, est), proxy_uid), closing.close)


def _acme_services(
    config: Config, settings: AcmeConfig, issuance: Issuance, chains: Chains, nonces: NonceStore
) -> AcmeServices:
    context, policies = issuance.context, issuance.policies
    caa = CaaChecks(Resolver(settings.validation.resolvers), settings.caa_identities)
    return AcmeServices(
        context=context,
        settings=settings,
        policies=policies,
        rules=OrderRules(settings, policies, issuance.issuers),
        completion=Completion(
            context, issuance.gate, issuance.mints[ACME], policies, settings.limits, caa.require
        ),
        chains=chains,
        nonces=Nonces(context.clock, nonces),
        hosts=frozenset(config.server.names),
    )


def _est_services(
    config: Config,
    settings: EstConfig,
    issuance: Issuance,
    refusals: RefusalLog,
    crossed: Sequence[CrossChain],
) -> EstServices:
    context, policies, files = issuance.context, issuance.policies, tls_files(config)
    parts = EstParts(
        context=context,
        gate=issuance.gate,
        mint=issuance.mints[EST],
        policies=policies,
        settings=settings,
        manufacturers=Manufacturers(settings.manufacturer),
        refusals=refusals,
    )
    return EstServices(
        parts=parts,
        labels=Labels(settings, policies),
        authorities=AuthorityCertificates(context, crossed),
        signer=PackageSigner(files.chain, files.key),
    )


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
