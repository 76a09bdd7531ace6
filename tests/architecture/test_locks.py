"""The locks: every line pinned and hashed, no index named, the newest cryptography that is allowed."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from tests.architecture.tree import ROOT

LOCKS = ("ceremony", "server", "test")
CLIENTS_LOCK = "acme-clients"  # test-only, in an environment of its own: what it holds back stays there
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;]+)(?: ; [^\\]+)? \\$", re.IGNORECASE)
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
CEREMONY_NEVER = {"flask", "gunicorn", "sqlalchemy", "alembic", "psycopg", "pytest"}
NEVER = {"pyopenssl", "sslyze", "pymerkle"}  # a cap on cryptography; AGPL; GPL
CRYPTOGRAPHY_MAJOR = 50


def name_in(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement)[0].lower()


def pins(lock: str) -> dict[str, str]:
    found = {}
    for line in (ROOT / f"ops/requirements/{lock}.lock").read_text().splitlines():
        if match := PIN.match(line):
            found[match[1].lower()] = match[2]
    return found


@pytest.mark.parametrize("lock", [*LOCKS, CLIENTS_LOCK])
def test_every_line_is_a_pin_a_hash_or_a_comment(lock):
    lines = (ROOT / f"ops/requirements/{lock}.lock").read_text().splitlines()
    odd = [
        line
        for line in lines
        if not (PIN.match(line) or HASH.match(line) or re.match(r"^ +# ", line)) or "://" in line
    ]
    assert odd == []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not line.endswith("\\") or HASH.match(following), line


@pytest.mark.parametrize("lock", LOCKS)
def test_no_dependency_holds_cryptography_back(lock):
    assert int(pins(lock)["cryptography"].split(".")[0]) >= CRYPTOGRAPHY_MAJOR
    assert NEVER & pins(lock).keys() == set()


def test_a_ceremony_machine_gets_no_web_or_database_library():
    assert CEREMONY_NEVER & pins("ceremony").keys() == set()


def test_each_tier_holds_the_smaller_one_at_the_same_versions():
    ceremony, server, test = (pins(lock).items() for lock in LOCKS)
    assert ceremony <= server <= test


def test_the_locks_cover_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = {
        "ceremony": project["project"]["dependencies"] + project["build-system"]["requires"],
        "server": extras["server"] + extras["ocsp"],
        "test": extras["test"] + extras["dev"],
    }
    for lock, requirements in wanted.items():
        names = {name_in(requirement) for requirement in requirements}
        assert names - pins(lock).keys() == set(), lock


def test_the_build_tool_is_pinned_as_the_project_names_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "ops/requirements/build.in").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == project["build-system"]["requires"]


def test_every_direct_dependency_is_described_at_its_locked_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    direct = {
        name_in(line) for line in (*project["dependencies"], *(each for extra in extras for each in extra))
    }
    rows = re.findall(
        r"^\| [^|]+ \| ([A-Za-z0-9-]+)[^|]* \| ([0-9.]+) \|",
        (ROOT / "ops/docs/dependencies.md").read_text(),
        re.MULTILINE,
    )
    assert dict(rows) == {name: pins("test")[name] for name in direct}


def test_the_lock_from_npm_has_a_hash_for_everything_and_names_no_registry():
    lock = json.loads((ROOT / "tests/conformance/acme/npm/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
