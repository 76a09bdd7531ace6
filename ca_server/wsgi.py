"""The applications: the API for those who have proven who they are, ACME, EST, and what everybody may fetch.

Every route must be on a list that says who may use it, or the application does not start (R21).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify
from flask_openapi.models.info import Info
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.openapi import OpenAPI

import ca_server
from ca_server.acme.installation import install_acme
from ca_server.acme.routes import ROUTES
from ca_server.acme.services import AcmeServices
from ca_server.acme.urls import PREFIX as ACME_PREFIX
from ca_server.core.jose import MAX_JWS_BYTES
from ca_server.est.bodies import MAX_BODY_BYTES as MAX_EST_BYTES
from ca_server.est.installation import install_est
from ca_server.est.replies import HEADERS as EST_HEADERS
from ca_server.est.routes import PREFIX as EST_PREFIX
from ca_server.est.routes import ROUTES as EST_ROUTES
from ca_server.est.services import EstServices
from ca_server.publish.chains import chains_blueprint
from ca_server.publish.health import health_blueprint
from ca_server.publish.metrics import metrics_blueprint
from ca_server.publish.services import PublicationServices
from ca_server.request_log import HEADERS, install_request_log
from ca_server.rest import (
    acme_accounts,
    acme_orders,
    acme_pauses,
    api_tokens,
    approvals,
    audit_events,
    authorities,
    certificate_requests,
    certificates,
    client_grants,
    enrolment_secrets,
    external_account_keys,
    profiles,
    renewal_flags,
    revocation,
)
from ca_server.rest.bodies import MAX_BODY_BYTES, StrictJSON
from ca_server.rest.problems import install_problems, validation_problem
from ca_server.rest.replies import PREFIX
from ca_server.rest.routes import ACTIONS
from ca_server.rest.schemas import Problem
from ca_server.rest.services import EXTENSION, RestServices

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Routes that anybody may read, because they say nothing that is not meant for everybody.
PUBLIC = frozenset(
    {
        "audit.checkpoint",
        "audit.proof",
        "audit.tile",
        "audit.vkey",
        "chains.intermediates",
        "chains.issuer",
        "chains.roots",
        "crl.crl",
        "health.health",
        "health.livez",
        "health.readyz",
        "metrics.metrics",
        "openapi_document",
    }
)

_RESOURCES = (
    certificate_requests,
    approvals,
    certificates,
    revocation,
    profiles,
    authorities,
    audit_events,
    api_tokens,
    client_grants,
    acme_accounts,
    acme_orders,
    acme_pauses,
    external_account_keys,
    enrolment_secrets,
    renewal_flags,
)
_SECURITY: dict[str, SecurityScheme] = {
    "token": SecurityScheme(type="http", scheme="bearer"),
    "certificate": SecurityScheme(type="mutualTLS"),
}


def create_api_app(
    rest: RestServices,
    publication: PublicationServices,
    acme: AcmeServices | None = None,
    est: EstServices | None = None,
) -> Flask:
    """The HTTPS door: REST under `/api/v1`, ACME and EST where there are any, health and chains."""
    app = OpenAPI(
        "sealkeeper",
        info=Info(title="Sealkeeper", version=ca_server.__version__),
        security_schemes=dict(_SECURITY),
        openapi_extensions={"security": [{name: []} for name in _SECURITY]},
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=validation_problem,
        doc_ui=False,
        static_folder=None,
    )
    _configure(app, MAX_BODY_BYTES)
    install_problems(app)
    app.extensions[EXTENSION] = rest
    for resource in _RESOURCES:
        app.register_api(resource.blueprint)
    app.register_blueprint(health_blueprint(publication.checks))
    app.register_blueprint(chains_blueprint(publication.context))

    @app.get(f"{PREFIX}/openapi.json")
    def openapi_document() -> Response:
        return jsonify(app.api_doc)

    _require_listed_routes(app, ACTIONS.keys() | PUBLIC)
    others: dict[str, WSGIApplication] = {}
    if acme is not None:
        others[f"{ACME_PREFIX}/"] = create_acme_app(acme)
    if est is not None:
        others[f"{EST_PREFIX}/"] = create_est_app(est)
    app.wsgi_app = _by_path(app.wsgi_app, others)  # type: ignore[assignment]
    return app


def create_acme_app(acme: AcmeServices) -> Flask:
    """The ACME part of the HTTPS door: its own routes, its own words for every failure."""
    app = Flask("sealkeeper", static_folder=None)
    _configure(app, MAX_JWS_BYTES)
    install_acme(app, acme)
    _require_listed_routes(app, ROUTES.keys())
    return app


def create_est_app(est: EstServices) -> Flask:
    """The EST part of the HTTPS door: its own routes, and text in place of problem documents."""
    app = Flask("sealkeeper", static_folder=None)
    _configure(app, MAX_EST_BYTES, EST_HEADERS)
    install_est(app, est)
    _require_listed_routes(app, EST_ROUTES.keys())
    return app


def _by_path(rest: WSGIApplication, others: Mapping[str, WSGIApplication]) -> WSGIApplication:
    """What begins with a prefix to its application, everything else to the first."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        found = next((app for prefix, app in others.items() if path.startswith(prefix)), rest)
        return found(environ, start_response)

    return application


def create_publication_app(publication: PublicationServices) -> Flask:
    """The plain HTTP door: CRLs, issuers, roots, the audit log, health and metrics."""
    app = Flask("sealkeeper", static_folder=None)
    _configure(app, MAX_BODY_BYTES)
    install_problems(app)
    app.register_blueprint(health_blueprint(publication.checks))
    app.register_blueprint(chains_blueprint(publication.context))
    app.register_blueprint(metrics_blueprint(publication.context, publication.metrics_directories))
    for blueprint in publication.resources:
        app.register_blueprint(blueprint)
    _require_listed_routes(app, PUBLIC)
    return app


def _configure(app: Flask, max_body_bytes: int, headers: Mapping[str, str] = HEADERS) -> None:
    """What all doors have in common: caps, no guessing of URLs, the log."""
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.json = StrictJSON(app)
    install_request_log(app, headers)


def _require_listed_routes(app: Flask, listed: Collection[str]) -> None:
    unlisted = {rule.endpoint for rule in app.url_map.iter_rules()} - set(listed)
    if unlisted:
        raise RuntimeError(f"nobody said who may use {', '.join(sorted(unlisted))}")
