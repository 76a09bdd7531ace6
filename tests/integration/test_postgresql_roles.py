"""The three roles of ops/examples: each can do its work on PostgreSQL, and no more."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from ca_server.core.audit.record import Actor, make_event
from ca_server.core.clock import from_epoch
from ca_server.store.engine import Database
from ca_server.store.migrate import require_current, upgrade

EXAMPLES = Path(__file__).resolve().parents[2] / "ops/examples"
ROLES = ("sealkeeper_owner", "sealkeeper", "sealkeeper_ocsp")
DATABASE = "roles"


@pytest.fixture
def url_of(postgresql):
    """A database that an operator set up by the page of operations: role -> URL."""
    administrator = postgresql.url("postgres")
    _run(administrator, f"CREATE DATABASE {DATABASE}")
    _run(postgresql.url(DATABASE), (EXAMPLES / "postgresql-roles.sql").read_text())
    urls = {role: postgresql.url(DATABASE, user=role) for role in ROLES}
    owner = Database(urls["sealkeeper_owner"])
    upgrade(owner)
    owner.close()
    _run(urls["sealkeeper_owner"], (EXAMPLES / "postgresql-responder.sql").read_text())
    yield urls
    _run(administrator, f"DROP DATABASE {DATABASE} WITH (FORCE)")
    for role in ROLES:
        _run(administrator, f"DROP ROLE {role}")


def _run(url: str, script: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(script)


def _refused(url: str, statement: str) -> bool:
    try:
        _run(url, statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_the_server_writes_and_never_deletes_or_alters(url_of):
    database = Database(url_of["sealkeeper"])
    require_current(database)
    event = make_event(
        event_id="00000000-0000-7000-8000-000000000000",
        kind="software.started",
        time=from_epoch(1_800_000_000),
        node="test",
        actor=Actor("process:test", "process", "system"),
        data={"process": "test", "version": "0"},
    )
    with database.write() as unit:
        unit.commit(event)
    database.close()
    for statement in (
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "DROP TABLE certificate",
        "CREATE TABLE mine (id int)",
    ):
        assert _refused(url_of["sealkeeper"], statement), statement


def test_the_server_forgets_what_is_forgotten_by_design_and_the_responder_cannot(url_of):
    for table in ("acme_failure", "acme_nonce", "acme_nonce_key", "due_work", "rate_limit"):
        _run(url_of["sealkeeper"], f"DELETE FROM {table}")
        assert _refused(url_of["sealkeeper_ocsp"], f"DELETE FROM {table}"), table


def test_the_responder_reads_two_views_and_nothing_else(url_of):
    responder = url_of["sealkeeper_ocsp"]
    _run(responder, "SELECT * FROM certificate_status")
    _run(responder, "SELECT * FROM status_watermark")
    for statement in (
        "SELECT * FROM certificate",
        "SELECT * FROM audit_event",
        "SELECT * FROM api_token",
        "UPDATE watermark SET value = 0",
        "CREATE TABLE mine (id int)",
    ):
        assert _refused(responder, statement), statement
