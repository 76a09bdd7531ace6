"""A rehearsal that a script demands: of its very bytes, ended well, and lately."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ca_server.core.ceremony.closing import parse_closing
from ca_server.core.errors import CaError, Kind
from ceremony.close import pack_bundle
from ceremony.engine import abort_ceremony, run_ceremony
from ceremony.people import Paused
from ceremony.rehearsed import check_rehearsed
from tests.fixtures.small_ceremony import NOON, SmallCeremony

LATER = NOON + timedelta(days=30)


@pytest.fixture
def demanding(small) -> SmallCeremony:
    return small.changed(("max_hours = 4", "max_hours = 4\nrehearsal_within_days = 30"))


def rehearsed(small: SmallCeremony) -> Path:
    with small.room() as room:
        run_ceremony(room)
        pack_bundle(room)
    return small.folder.bundle


def check(small: SmallCeremony, bundle: Path | None, now: datetime = LATER) -> str | None:
    production = small.host.model_copy(update={"mode": "production", "rehearsal": bundle})
    return check_rehearsed(small.plan, production, now)


def assert_refused(small: SmallCeremony, bundle: Path | None, words: str, now: datetime = LATER) -> None:
    with pytest.raises(CaError) as refused:
        check(small, bundle, now)
    error = refused.value
    assert (error.kind, error.rule_ids) == (Kind.POLICY_REFUSED, ("CEREMONY-REHEARSAL",))
    assert words in error.detail


def test_a_script_that_demands_none_needs_none(small):
    assert check(small, None) is None


def test_a_rehearsal_needs_none(demanding):
    assert check_rehearsed(demanding.plan, demanding.host, NOON) is None


def test_a_rehearsal_that_ended_well_is_named_by_its_closing_statement(demanding):
    bundle = rehearsed(demanding)
    closing = demanding.folder.read("closing.txt")
    assert check(demanding, bundle) == hashlib.sha256(closing).hexdigest()
    ended = parse_closing(closing).time
    assert check(demanding, bundle, ended) is not None
    assert check(demanding, bundle, ended + timedelta(days=30)) is not None


def test_one_that_is_too_long_ago_or_not_yet(demanding):
    bundle = rehearsed(demanding)
    ended = parse_closing(demanding.folder.read("closing.txt")).time
    assert_refused(demanding, bundle, "within 30 days", ended + timedelta(days=30, seconds=1))
    assert_refused(demanding, bundle, "within 30 days", ended - timedelta(seconds=1))


def test_none_at_all_and_what_is_no_bundle(demanding, tmp_path):
    assert_refused(demanding, None, "names no bundle")
    assert_refused(demanding, tmp_path / "none.tar", "does not verify")
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    assert_refused(demanding, tmp_path / "bad.tar", "does not verify")


def test_one_of_another_script(demanding):
    bundle = rehearsed(demanding)
    demanding.changed(("max_hours = 4", "max_hours = 5"))
    assert_refused(demanding, bundle, "no rehearsal of this very script")


def test_one_that_was_aborted(demanding):
    with pytest.raises(Paused):
        demanding.run(demanding.officers(at_answer=[Paused()]))
    with demanding.room() as room:
        abort_ceremony(room, "enough for today")
        pack_bundle(room)
    assert_refused(demanding, demanding.folder.bundle, "ended aborted-clean")
