"""What readiness is made of: a database with a log, and a log that somebody sequences."""

from __future__ import annotations

import pytest

from ca_server.core.authorization import Role
from ca_server.core.errors import CaError, Kind
from ca_server.services.context import Context
from ca_server.services.health import MAX_LOG_LAG, require_audit_log, require_database
from ca_server.store.audit import open_log
from ca_server.store.engine import Database
from tests.fakes.clock import SetClock


def test_a_database_without_a_log_is_not_ready(issuing):
    with pytest.raises(CaError) as caught:
        require_database(issuing.context)
    assert caught.value.kind is Kind.NOT_READY
    assert "is 'sealkeeper worker' running?" in caught.value.detail
    with issuing.context.database.write() as unit:
        open_log(unit, "ca.test/log")
        unit.commit_unaudited("a test begins a log")
    require_database(issuing.context)


def test_an_empty_database_wants_a_ceremonys_bundle(database):
    with pytest.raises(CaError, match="sealkeeper init") as caught:
        require_database(Context(SetClock(), database, "test"))
    assert caught.value.kind is Kind.NOT_READY


def test_an_event_may_wait_but_not_for_long(issuing):
    issuing.token(Role.AUDITOR)
    issuing.clock.advance(seconds=MAX_LOG_LAG)
    require_audit_log(issuing.context)
    issuing.clock.advance(seconds=1)
    with pytest.raises(CaError) as caught:
        require_audit_log(issuing.context)
    assert caught.value.kind is Kind.UNAVAILABLE


def test_a_database_that_is_away_is_not_ready(issuing):
    away = Context(issuing.clock, Database("sqlite:////nowhere/at/all"), "test")
    for check in (require_database, require_audit_log):
        with pytest.raises(CaError) as caught:
            check(away)
        assert caught.value.kind is Kind.UNAVAILABLE
    away.database.close()
