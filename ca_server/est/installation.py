"""Puts the EST door into an application: its lock, its resources and its words for failures."""

from __future__ import annotations

from flask import Flask

from ca_server.est import authorities, enrolment
from ca_server.est.failures import install_failures
from ca_server.est.requests import admit, take_label
from ca_server.est.services import EXTENSION, EstServices

_RESOURCES = (authorities, enrolment)


def install_est(app: Flask, est: EstServices) -> None:
    """Register everything; whoever calls it has set the cap on bodies and checks the list of routes."""
    app.extensions[EXTENSION] = est
    install_failures(app)
    app.url_value_preprocessor(take_label)
    app.before_request(admit)
    for resource in _RESOURCES:
        app.register_blueprint(resource.blueprint)
