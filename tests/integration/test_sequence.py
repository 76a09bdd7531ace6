"""The sequencer on real databases: every crash is finished, two leaders never fork, loss is noticed."""

from __future__ import annotations

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ca_server.core.audit.record import parse_event
from ca_server.services.sequence import LEASE_SECONDS, sequence_once
from ca_server.store import audit as rows
from ca_server.store import tables
from tests.fakes.audit_log import ACTOR, ORIGIN, AuditLog, Crash, Fuse, MemorySigner
from tests.fakes.log_checks import check, leaves, rule_of


@pytest.fixture
def log(database, tmp_path):
    return AuditLog(database, tmp_path)


def test_the_first_run_opens_the_log_with_its_first_leaf(log):
    log.add(3)
    assert log.sequence().events == 4
    assert check(log) == 4
    opening = parse_event(leaves(log)[0])
    assert opening["data"] == {"origin": ORIGIN, "vkey": log.vkey}


def test_events_keep_the_order_in_which_they_were_stored(log):
    first, second = log.add(2), log.add(2)
    log.sequence_all()
    assert leaves(log)[1:] == [event.body for event in (*first, *second)]


@pytest.mark.parametrize("batches", [[1, 254], [255, 1, 1], [300, 300], [3, 509, 5]])
def test_growing_over_the_ends_of_tiles(log, batches):
    for count in batches:
        log.add(count)
        log.sequence_all()
        check(log)
    assert check(log) == sum(batches) + 1


def test_a_batch_has_a_limit_and_the_rest_follows(log):
    log.add(25)
    assert log.sequence(limit=10).events == 10
    assert log.sequence(limit=10).events == 10
    assert log.sequence(limit=10).events == 6
    assert log.sequence(limit=10).events == 0
    assert check(log) == 26


def test_with_nothing_to_do_nothing_is_written(log):
    log.add(1)
    log.sequence()
    used = log.signer.signatures
    with log.database.read() as connection:
        before = rows.find_log(connection)
    log.clock.pass_seconds(100)
    assert not log.sequence().signed
    with log.database.read() as connection:
        assert rows.find_log(connection) == before
    assert log.signer.signatures == used


def test_a_silent_log_beats_every_five_minutes(log):
    log.add(1)
    log.sequence()
    log.clock.pass_seconds(299)
    assert log.sequence().events == 0
    log.clock.pass_seconds(1)
    assert log.sequence().events == 1
    assert log.sequence().events == 0
    assert check(log) == 3
    assert parse_event(leaves(log)[-1])["data"] == {"tree_size": 2}


def test_an_ecdsa_key_signs_too(database, tmp_path):
    log = AuditLog(database, tmp_path, MemorySigner(ec.generate_private_key(ec.SECP256R1())))
    log.add(2)
    log.sequence()
    assert check(log) == 3


STEPS = 5  # open the log, transaction A, anchor, sign, store the note


def test_the_steps_that_may_crash(log):
    log.add(2)
    fuse = Fuse(step=0, after=False)
    log.fused(fuse)
    assert fuse.names == ["transaction", "transaction", "anchor", "sign", "transaction"]
    assert len(fuse.names) == STEPS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_crash_at_any_step_of_the_first_head_is_finished(log, step, after):
    log.add(2)
    with pytest.raises(Crash):
        log.fused(Fuse(step, after))
    assert log.sequence_all() == 3
    assert check(log) == 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS))
def test_a_crash_at_any_step_of_a_later_head_is_finished_by_another_leader(log, step, after):
    log.add(2)
    log.sequence_all()
    log.add(300)
    with pytest.raises(Crash):
        log.fused(Fuse(step, after))
    log.add(4)
    log.clock.pass_seconds(LEASE_SECONDS)
    while log.sequence("worker-2").signed:
        pass
    assert check(log) == 307


def test_a_head_is_never_signed_before_it_is_committed_and_anchored(log):
    log.add(2)
    for fuse in (Fuse(1, after=True), Fuse(1, after=False), Fuse(2, after=False), Fuse(2, after=True)):
        with pytest.raises(Crash):
            log.fused(fuse)
        assert "sign" not in fuse.names
        assert log.signer.signatures == 0


def test_a_crash_in_the_heartbeat_is_finished(log):
    log.add(1)
    log.sequence_all()
    log.clock.pass_seconds(300)
    with pytest.raises(Crash):
        log.fused(Fuse(1, after=True))
    log.sequence_all()
    assert check(log) == 3


def test_one_leader_at_a_time(log):
    log.add(1)
    log.sequence("worker-1")
    log.add(1)
    assert log.sequence("worker-2").events == 0
    assert log.sequence("worker-1").events == 1
    log.add(1)
    log.clock.pass_seconds(LEASE_SECONDS)
    assert log.sequence("worker-2").events == 1
    check(log)


def test_the_fence_grows_with_each_leader_and_only_then(log):
    fences = []
    for leader, seconds in (("a", 0), ("a", 1), ("b", LEASE_SECONDS), ("a", LEASE_SECONDS)):
        log.clock.pass_seconds(seconds)
        log.add(1)
        log.sequence(leader)
        with log.database.read() as connection:
            fences.append(rows.find_log(connection).fence)
    assert fences == [1, 1, 2, 3]


def test_a_leader_that_slept_through_its_lease_changes_nothing(log):
    """It commits a head, sleeps; another finishes that head and goes on; then it wakes before its anchor."""
    log.add(2)
    log.sequence_all()
    log.add(2)

    class SleepyAnchor:
        def read(self):
            return log.anchor.read()

        def swap(self, expected, new):
            log.clock.pass_seconds(LEASE_SECONDS)
            log.sequence("worker-2")
            log.add(2)
            log.sequence("worker-2")
            return log.anchor.swap(expected, new)

    done = sequence_once(log.context, log.key, SleepyAnchor(), "worker-1")
    assert not done.signed
    assert check(log) == 7


def test_an_anchor_that_moves_under_the_leader_is_refused(log):
    log.add(2)
    log.sequence_all()
    log.add(2)

    class MeddledAnchor:
        def read(self):
            return log.anchor.read()

        def swap(self, expected, new):
            return False

    assert rule_of(sequence_once, log.context, log.key, MeddledAnchor(), "worker-1") == ("AUDIT-ROLLBACK",)


def test_the_leader_before_may_have_moved_the_anchor_after_we_looked(log):
    log.add(2)
    log.sequence_all()
    stale = log.anchor.read()
    log.add(2)
    log.sequence_all()
    log.add(2)
    looks = [stale]

    class LateAnchor:
        def read(self):
            return looks.pop() if looks else log.anchor.read()

        def swap(self, expected, new):
            return log.anchor.swap(expected, new)

    assert sequence_once(log.context, log.key, LateAnchor(), "worker-1").signed
    assert check(log) == 7


def test_many_sequencers_and_writers_at_once_make_one_log(database, tmp_path):
    """Only the database keeps them apart: each has its own name, and all use one anchor."""
    log = AuditLog(database, tmp_path)
    errors: list[Exception] = []

    def run(work):
        try:
            for _ in range(8):
                work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            errors.append(error)

    def sequence_as(name):
        def work():
            log.sequence(name)
            log.clock.pass_seconds(LEASE_SECONDS)

        return work

    works = [sequence_as("a"), sequence_as("b"), sequence_as("c"), lambda: log.add(7), lambda: log.add(5)]
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    log.clock.pass_seconds(LEASE_SECONDS)
    log.sequence_all()
    beats = [entry for entry in leaves(log) if parse_event(entry)["kind"] == "log.heartbeat"]
    assert check(log) - len(beats) == 8 * 12 + 1


def test_a_transaction_that_commits_late_is_sequenced_later(database, tmp_path):
    """Numbers are given before commits happen, so "over the last number" would lose events."""
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: nothing commits late")
    log = AuditLog(database, tmp_path)
    late = log.context.event("token.revoked", ACTOR, {"token": "late"})
    with database.write() as unit:
        unit.connection.execute(
            tables.audit_event.insert(),
            [
                {
                    "event_id": late.event_id,
                    "kind": late.kind,
                    "time": 0,
                    "body": late.body,
                    "leaf_hash": late.leaf_hash,
                }
            ],
        )
        log.add(3)
        log.sequence_all()
        unit.commit_unaudited("the slow transaction ends now")
    log.sequence_all()
    assert check(log) == 5
    assert leaves(log)[-1] == late.body
