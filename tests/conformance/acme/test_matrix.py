"""Every client shows everything it knows, on each database, against the processes of a real install."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.acme.capabilities import Capability
from tests.conformance.acme.clients.certbot import Certbot, DebianCertbot
from tests.conformance.acme.clients.client import METHODS, Client
from tests.conformance.acme.clients.dehydrated import Dehydrated
from tests.conformance.acme.clients.lego import Lego
from tests.conformance.acme.clients.scripted import Library, NodeClient
from tests.conformance.acme.lab import Lab, start_lab
from tests.conformance.acme.stories import STORIES, Case
from tests.fixtures.client_tables import ACME_TABLE

pytestmark = [pytest.mark.hsm, pytest.mark.slow]

CLIENTS: tuple[type[Client], ...] = (DebianCertbot, Certbot, Lego, Dehydrated, NodeClient, Library)
KNOWN = [(kind, each) for kind in CLIENTS for each in Capability if each in kind.knows]
# Clients sleep more than they work, so several run side by side.
SIDE_BY_SIDE = 4


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lab(request, rehearsal, tmp_path_factory) -> Iterator[Lab]:
    """A running server with ACME, over each database in turn."""
    folder = tmp_path_factory.mktemp(f"acme-{request.param}")
    with new_database(request, folder) as url, start_lab(folder, request.param, url, rehearsal) as lab:
        yield lab


@contextmanager
def new_database(request, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        path = folder / "sealkeeper.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("postgresql")
        url = server.create()
        yield url
        server.drop(url)


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.title)
def test_a_client_has_a_method_for_what_it_knows(kind):
    for capability, method in METHODS.items():
        assert capability not in kind.knows or callable(getattr(kind, method))


class Cells:
    """Every cell of one laboratory, each shown once, some side by side."""

    def __init__(self, lab: Lab, pool: ThreadPoolExecutor) -> None:
        self._lab = lab
        self._pool = pool
        self._started: dict[tuple[type[Client], Capability], Future[None]] = {}

    def start(self, kind: type[Client], capability: Capability) -> Future[None]:
        cell = (kind, capability)
        if cell not in self._started:
            self._started[cell] = self._pool.submit(self._show, kind, capability)
        return self._started[cell]

    def _show(self, kind: type[Client], capability: Capability) -> None:
        kind.require()
        STORIES[capability](Case(self._lab, kind, capability))


@pytest.fixture(scope="module")
def cells(lab, request) -> Iterator[Cells]:
    """The cells; those that were asked for on the command line are begun at once."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = Cells(lab, pool)
        for item in request.session.items:
            parameters = getattr(item, "callspec", None) and item.callspec.params
            if item.module is request.module and parameters.get("lab") == lab.database:
                kind, capability = parameters.get("kind"), parameters.get("capability")
                if kind and capability:
                    found.start(kind, capability)
        yield found
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("kind", "capability"), KNOWN, ids=[f"{kind.__name__}-{each.name}".lower() for kind, each in KNOWN]
)
def test_client(cells, lab, kind, capability, record_property):
    record_property(ACME_TABLE.cell, (kind.title, capability.value, lab.database))
    cells.start(kind, capability).result()


def test_every_url_of_the_directory_was_used(cells, lab):
    """The directory lists nothing that no client here makes use of; each URL was answered well."""
    for started in [cells.start(kind, capability) for kind, capability in KNOWN]:
        started.result()
    directory = lab.fetch_directory("tls-server")
    start = lab.directory("tls-server").removesuffix("/directory")
    used = {route for _, route in lab.answered_routes()}
    for member, url in directory.items():
        if member != "meta":
            ending = url.removeprefix(start)
            ends = (ending, f"{ending}/<certid>") if member == "renewalInfo" else (ending,)
            assert any(route.endswith(ends) for route in used), f"nobody used {member}"
    assert set(directory["meta"]["profiles"]) <= lab.profiles_in_use()
