"""Who may import whom: the contracts of pyproject.toml, and what a fresh interpreter really loads."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, imports_of, name_of, product_files

# Library -> the only places that may import it.
PLACES = {
    "pkcs11": ("ca_server/hsm/",),
    "sqlalchemy": ("ca_server/store/", "ocsp_responder/status.py"),
    "alembic": ("ca_server/store/",),
    "psycopg": ("ca_server/store/", "ocsp_responder/status.py"),
    "dns": ("ca_server/outbound/",),
    "flask": (
        "ca_server/acme/",
        "ca_server/est/",
        "ca_server/rest/",
        "ca_server/publish/",
        "ca_server/wsgi.py",
        "ca_server/request_log.py",
    ),
    "flask_openapi": ("ca_server/rest/", "ca_server/wsgi.py"),
    "gunicorn": (
        "ca_server/serving.py",
        "ca_server/acme/requests.py",
        "ca_server/est/bodies.py",
        "ca_server/rest/bodies.py",
        "ocsp_responder/",
    ),
    "joserfc": ("ca_server/core/jose.py",),
}

# Imports a package with some libraries made unimportable, as on a machine that lacks them, and prints what
# of ours was loaded.
LOADER = """
import importlib, importlib.abc, pkgutil, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed on this machine", name=name)

sys.meta_path.insert(0, Absent())
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
ours = ("ca_server", "ceremony", "ocsp_responder")
print(*sorted(name for name in sys.modules if name.split(".")[0] in ours))
"""


def loaded_by(package: str, absent: tuple[str, ...]) -> list[str]:
    script = LOADER.format(package=package, absent=absent)
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def foreign(modules: list[str], allowed: tuple[str, ...]) -> list[str]:
    return [
        name for name in modules if not any(name == room or name.startswith(room + ".") for room in allowed)
    ]


def test_import_contracts_hold():
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("library", PLACES)
def test_a_library_is_imported_in_its_place_only(library):
    elsewhere = [
        name_of(path)
        for path in product_files()
        if not name_of(path).startswith(PLACES[library])
        and any(name.split(".")[0] == library for name in imports_of(path))
    ]
    assert elsewhere == []


def test_a_ceremony_runs_without_web_and_database_libraries():
    absent = ("flask", "flask_openapi", "werkzeug", "gunicorn", "sqlalchemy", "alembic", "psycopg")
    modules = loaded_by("ceremony", absent)
    assert "ceremony.cli" in modules
    allowed = ("ceremony", "ca_server.core", "ca_server.hsm")
    assert foreign(modules, allowed) == ["ca_server"]


def test_the_responder_loads_the_shared_pair_and_nothing_else_of_the_server():
    modules = loaded_by("ocsp_responder", ("alembic", "flask", "flask_openapi", "werkzeug"))
    assert "ocsp_responder.app" in modules
    allowed = ("ocsp_responder", "ca_server.core", "ca_server.hsm")
    assert foreign(modules, allowed) == ["ca_server"]


# Not in the base of the wheel, which is all that a host that enrols has.
EXTRAS = (
    *("alembic", "dns", "flask", "flask_openapi", "gunicorn", "joserfc", "prometheus_client", "psycopg"),
    *("sqlalchemy", "structlog", "werkzeug"),
)


def test_a_host_enrols_with_the_base_of_the_wheel():
    modules = loaded_by("ca_server.cli.enroll", EXTRAS)
    assert "ca_server.cli.enroll.est_client" in modules
    allowed = ("ca_server.cli.enroll", "ca_server.core")
    assert foreign(modules, allowed) == [
        "ca_server",
        "ca_server.cli",
        "ca_server.cli.lazy",
        "ca_server.cli.private_keys",
    ]


def test_every_library_beyond_the_base_is_absent_in_that_test():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {re.split(r"[\[>=]", each)[0].replace("-", "_") for each in extra["server"] + extra["ocsp"]}
    assert wanted - {"dnspython"} <= set(EXTRAS)


@pytest.mark.parametrize("module", ["ca_server.cli.serve", "ocsp_responder.cli"])
def test_the_metrics_library_is_not_loaded_before_its_folder_is_named(module):
    script = f"import sys, {module}; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_no_product_module_imports_the_tests_or_the_operations_folder():
    guilty = [
        name_of(path)
        for path in product_files()
        if any(name.split(".")[0] in {"tests", "ops", "policies"} for name in imports_of(path))
    ]
    assert guilty == []
