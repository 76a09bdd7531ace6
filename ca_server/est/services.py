"""What the EST door needs from the composition root, and how its handlers reach it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from ca_server.est.labels import Labels
from ca_server.services.est.authority_certificates import AuthorityCertificates
from ca_server.services.est.parts import EstParts
from ca_server.services.est.server_keys import PackageSigner

EXTENSION = "sealkeeper.est"


@dataclass(frozen=True, slots=True)
class EstServices:
    """One a process, made after fork."""

    parts: EstParts
    labels: Labels
    authorities: AuthorityCertificates
    signer: PackageSigner


def services() -> EstServices:
    """The services of the application that answers this request."""
    found: EstServices = current_app.extensions[EXTENSION]
    return found
