"""Every client shows everything it knows, in each set-up, against the processes of a real install."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.est.capabilities import Capability
from tests.conformance.est.clients.client import Client
from tests.conformance.est.clients.curl import Curl
from tests.conformance.est.clients.strongswan import StrongSwan
from tests.conformance.est.lab import Lab, start_lab
from tests.conformance.est.stories import STORIES, Case
from tests.fixtures.client_tables import EST_TABLE

pytestmark = [pytest.mark.hsm, pytest.mark.slow]

CLIENTS: tuple[type[Client], ...] = (Curl, StrongSwan)
KNOWN = [(kind, each) for kind in CLIENTS for each in Capability if each in kind.knows]
SET_UPS = ["gunicorn+sqlite", "gunicorn+postgresql", "nginx+sqlite", "nginx+postgresql"]


@pytest.fixture(scope="module", params=SET_UPS)
def lab(request, rehearsal, tmp_path_factory) -> Iterator[Lab]:
    """A running server with EST, on each TLS set-up and over each database in turn."""
    folder = tmp_path_factory.mktemp(f"est-{request.param}")
    with new_database(request, folder) as url, start_lab(folder, request.param, url, rehearsal) as lab:
        yield lab


@contextmanager
def new_database(request, folder: Path) -> Iterator[str]:
    if request.param.endswith("sqlite"):
        path = folder / "sealkeeper.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgresql")
        url = server.create()
        yield url
        server.drop(url)


@pytest.mark.parametrize(
    ("kind", "capability"), KNOWN, ids=[f"{kind.__name__}-{each.name}".lower() for kind, each in KNOWN]
)
def test_client(lab, kind, capability, record_property):
    record_property(EST_TABLE.cell, (kind.title, capability.value, lab.set_up))
    kind.require()
    STORIES[capability](Case(lab, kind, capability))
