"""Work that waits: taken by one, never lost, tried again with growing pauses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ca_server.store import tables
from ca_server.store.due_work import (
    MAX_BACKOFF,
    Lease,
    complete,
    count_waiting,
    finish,
    is_any_due,
    list_due,
    put_back,
    retry,
    schedule,
    take,
    take_next,
)
from ca_server.store.engine import Database

KIND = "test.work"


def do(database: Database, call, *arguments, **keywords):
    with database.write() as unit:
        answer = call(unit, *arguments, **keywords)
        unit.commit_unaudited("a test of leases")
    return answer


def take_one(database: Database, now: int, owner: str = "w") -> Lease | None:
    leases = do(database, take, KIND, ["a"], owner=f"{owner}/{now}", now=now, seconds=60)
    return leases[0] if leases else None


def row(database: Database):
    with database.read() as connection:
        return connection.execute(tables.due_work.select()).one()


def test_work_is_due_at_the_earliest_time_asked_for(database):
    for due_at in (200, 100, 300):
        do(database, schedule, KIND, "a", due_at)
    assert row(database).due_at == 100
    assert take_one(database, 99) is None
    assert take_one(database, 100) == Lease(KIND, "a", "w/100", 160, 0)


def test_only_the_subjects_asked_for_are_taken(database):
    for subject in ("a", "b"):
        do(database, schedule, KIND, subject, 100)
    do(database, schedule, "other.work", "a", 100)
    assert [lease.subject for lease in do(database, take, KIND, ["b"], owner="w", now=100, seconds=9)] == [
        "b"
    ]
    with database.read() as connection:
        due = list_due(connection, KIND, ["a", "b", "c"], 100)
    assert (due.ready, due.unknown) == ({"a"}, {"c"})


def test_nobody_takes_what_somebody_has_until_the_lease_ends(database):
    do(database, schedule, KIND, "a", 100)
    assert take_one(database, 100)
    assert take_one(database, 159, "x") is None
    taken_over = take_one(database, 160, "x")
    assert taken_over == Lease(KIND, "a", "x/160", 220, 0)


def test_one_of_many_workers_gets_it(database):
    do(database, schedule, KIND, "a", 100)

    def attempt(number: int) -> int:
        return len(do(database, take, KIND, ["a"], owner=str(number), now=100, seconds=60))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(40))) == 1


def test_done_work_is_due_again_later(database):
    do(database, schedule, KIND, "a", 100)
    lease = take_one(database, 100)
    assert do(database, finish, lease, now=101, next_at=5000)
    found = row(database)
    assert (found.due_at, found.lease_owner, found.attempts, found.last_error) == (5000, None, 0, None)


def test_what_is_asked_for_while_it_is_done_is_done_again(database):
    do(database, schedule, KIND, "a", 100)
    lease = take_one(database, 100)
    do(database, schedule, KIND, "a", 103)
    assert take_one(database, 104, "x") is None
    assert do(database, finish, lease, now=105, next_at=5000)
    assert row(database).due_at == 103
    assert take_one(database, 104, "x")


@pytest.mark.parametrize("asked_at", [160, 163])
def test_what_is_asked_for_after_the_lease_ran_out_is_done_again(database, asked_at):
    """The work was due again already, so that asking changes no row; it must not be forgotten."""
    do(database, schedule, KIND, "a", 100)
    lease = take_one(database, 100)
    do(database, schedule, KIND, "a", asked_at)
    assert do(database, finish, lease, now=164, next_at=5000)
    assert take_one(database, 164, "x")


def test_a_lost_lease_changes_nothing(database):
    do(database, schedule, KIND, "a", 100)
    lost = take_one(database, 100)
    held = take_one(database, 160, "x")
    before = row(database)
    assert not do(database, finish, lost, now=161, next_at=5000)
    assert not do(database, retry, lost, now=161, error="late")
    assert row(database) == before
    assert do(database, finish, held, now=161, next_at=5000)


def test_pauses_between_failures_grow_to_a_limit(database):
    do(database, schedule, KIND, "a", 100)
    now, pauses = 100, []
    for _attempt in range(12):
        lease = take_one(database, now)
        assert do(database, retry, lease, now=now, error="x" * 5000)
        pauses.append(row(database).due_at - now)
        now = row(database).due_at
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert pauses[-1] == MAX_BACKOFF
    assert (row(database).attempts, len(row(database).last_error)) == (12, 500)
    assert do(database, finish, take_one(database, now), now=now, next_at=9000)
    assert (row(database).attempts, row(database).last_error) == (0, None)


@pytest.mark.parametrize("due_at", [0, 2**40])
def test_times_are_kept_whole(database, due_at):
    do(database, schedule, KIND, "a", due_at)
    assert row(database).due_at == due_at


def next_one(database: Database, now: int, owner: str = "w", share: int = 1) -> Lease | None:
    return do(database, take_next, KIND, owner=owner, now=now, seconds=60, share=share)


def any_due(database: Database, now: int) -> bool:
    with database.read() as connection:
        return is_any_due(connection, KIND, now)


def test_the_work_that_waits_longest_is_taken_first_and_other_kinds_are_left(database):
    for subject, due_at in (("b", 90), ("a", 100), ("c", 300)):
        do(database, schedule, KIND, subject, due_at)
    do(database, schedule, "other.work", "o", 1)
    taken = [next_one(database, 100) for _ in range(3)]
    assert [each.subject if each else None for each in taken] == ["b", "a", None]
    assert not any_due(database, 100)
    assert any_due(database, 300)


def test_each_of_many_gets_something_else(database):
    for number in range(40):
        do(database, schedule, KIND, str(number), 100)

    def attempt(number: int) -> str | None:
        lease = next_one(database, 100, str(number))
        return lease.subject if lease else None

    with ThreadPoolExecutor(8) as pool:
        taken = [each for each in pool.map(attempt, range(60)) if each is not None]
    assert sorted(taken, key=int) == [str(number) for number in range(40)]


def test_completed_work_leaves_nothing(database):
    do(database, schedule, KIND, "a", 100)
    lease = next_one(database, 100)
    assert do(database, complete, lease)
    assert not do(database, complete, lease)
    assert not any_due(database, 10_000)


def test_work_whose_lease_ran_out_cannot_be_completed_by_the_loser(database):
    do(database, schedule, KIND, "a", 100)
    lost = next_one(database, 100)
    won = next_one(database, 160, "x")
    assert not do(database, complete, lost)
    assert do(database, complete, won)


def test_beginnings_without_an_end_count(database):
    """Who kills whoever begins is told by it; given back it counts once, as before."""
    do(database, schedule, KIND, "a", 100)
    assert [next_one(database, now).attempts for now in (100, 160, 220)] == [0, 1, 2]
    lease = next_one(database, 280)
    do(database, retry, lease, now=281, error="no")
    assert row(database).attempts == 4
    assert row(database).due_at == 281 + 2**3


def test_who_has_a_share_is_passed_over_while_another_waits(database):
    for number in range(5):
        do(database, schedule, KIND, f"big/{number}", 90)
    for subject in ("big_/0", "small/0"):
        do(database, schedule, KIND, subject, 100)
    taken = [next_one(database, 100, share=2).subject.partition("/")[0] for _ in range(7)]
    assert taken[:2] == ["big", "big"]
    assert set(taken[2:4]) == {"big_", "small"}
    assert taken[4:] == ["big"] * 3
    assert next_one(database, 100, share=2) is None


def test_a_lease_that_ran_out_is_no_share(database):
    for subject, due_at in (("big/0", 90), ("big/1", 91), ("small/0", 100)):
        do(database, schedule, KIND, subject, due_at)
    assert next_one(database, 100).subject == "big/0"
    assert next_one(database, 160).subject == "big/1"


def test_what_waits_is_counted_for_each(database):
    for subject in ("a/1", "a/2", "ab/1", "a_/1", "%/1"):
        do(database, schedule, KIND, subject, 100)
    do(database, schedule, "other.work", "a/3", 100)
    next_one(database, 100)
    with database.read() as connection:
        assert [count_waiting(connection, KIND, each) for each in ("a", "ab", "a_", "%", "x")] == [
            2,
            1,
            1,
            1,
            0,
        ]


def test_what_is_put_back_is_due_at_once_and_was_never_begun(database):
    do(database, schedule, KIND, "a", 100)
    lease = next_one(database, 100)
    assert do(database, put_back, lease, now=103)
    assert not do(database, put_back, lease, now=103)
    assert next_one(database, 103) == Lease(KIND, "a", "w", 163, 0)
