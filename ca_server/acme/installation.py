"""Puts the ACME door into an application: its URLs, its lock, its resources and its words for failures."""

from __future__ import annotations

from flask import Flask

from ca_server.acme import accounts, authorizations, certificates, directory, orders
from ca_server.acme.problems import install_problems
from ca_server.acme.replies import finish
from ca_server.acme.requests import admit, take_profile
from ca_server.acme.services import EXTENSION, AcmeServices
from ca_server.acme.urls import IdConverter

_RESOURCES = (directory, accounts, orders, authorizations, certificates)


def install_acme(app: Flask, acme: AcmeServices) -> None:
    """Register everything; whoever calls it has set the cap on bodies and checks the list of routes."""
    app.extensions[EXTENSION] = acme
    app.url_map.converters["id"] = IdConverter
    install_problems(app)
    app.url_value_preprocessor(take_profile)
    app.before_request(admit)
    app.after_request(finish)
    for resource in _RESOURCES:
        app.register_blueprint(resource.blueprint)
