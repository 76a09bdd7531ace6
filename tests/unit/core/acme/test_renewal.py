"""Renewal windows: inside the life, forward in it, spread, and wholly in the past where forced (RFC 9773)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.acme.renewal import poll_interval, suggested_window

START = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
LIVES = st.integers(min_value=30, max_value=20 * 366 * 86_400)
SERIALS = st.integers(min_value=1, max_value=2**159 - 1)


def window(life: int, serial_number: int = 1, *, start: datetime = START, forced: bool = False):
    end = start + timedelta(seconds=life)
    return suggested_window(start, end, serial_number, start, forced=forced)


@given(LIVES, SERIALS)
def test_a_window_lies_inside_the_life_and_is_always_the_same(life, serial_number):
    start, end = window(life, serial_number)
    assert START <= start < end <= START + timedelta(seconds=life)
    later = START + timedelta(seconds=life * 2)
    assert suggested_window(START, START + timedelta(seconds=life), serial_number, later, forced=False) == (
        start,
        end,
    )
    assert start.microsecond == end.microsecond == 0


@given(LIVES, LIVES, SERIALS)
def test_whoever_lives_longer_is_renewed_later(one, other, serial_number):
    """Within the long-lived and within the short-lived, up to the place that the serial number gives."""
    shorter, longer = sorted((one, other))
    limit = timedelta(days=10).total_seconds() - 1
    if (shorter < limit) is (longer < limit):
        assert window(longer, serial_number)[1] >= window(shorter, serial_number)[0]


@given(LIVES, SERIALS, st.integers(min_value=0, max_value=10**9))
def test_a_window_moves_with_the_life_it_is_in(life, serial_number, seconds):
    moved = START + timedelta(seconds=seconds)
    start, end = window(life, serial_number)
    assert window(life, serial_number, start=moved) == (
        start + timedelta(seconds=seconds),
        end + timedelta(seconds=seconds),
    )


@given(LIVES, SERIALS, st.integers(min_value=-(10**8), max_value=10**8))
def test_a_forced_window_is_wholly_past(life, serial_number, offset):
    now = START + timedelta(seconds=offset)
    start, end = suggested_window(START, START + timedelta(seconds=life), serial_number, now, forced=True)
    assert start < end <= now


def test_long_lives_are_renewed_at_two_thirds_and_short_ones_at_half():
    year, week, day = 365 * 86_400, 6 * 86_400, 86_400
    for life, part in ((year, 2 / 3), (90 * day, 2 / 3), (week, 1 / 2), (day, 1 / 2), (3600, 1 / 2)):
        for serial_number in range(1, 50):
            start, end = window(life, serial_number)
            assert abs((start - START).total_seconds() / life - part) < 0.05
            assert abs((end - START).total_seconds() / life - part) < 0.05


def test_certificates_made_in_one_minute_are_renewed_over_days():
    """A thousand with consecutive serial numbers: no twelfth of the range has twice its share."""
    life = 90 * 86_400
    starts = [window(life, serial_number)[0] for serial_number in range(1, 1001)]
    first, last = min(starts), max(starts)
    assert last - first > timedelta(days=3)
    share = Counter(int((each - first) / (last - first + timedelta(seconds=1)) * 12) for each in starts)
    assert len(share) == 12
    assert max(share.values()) < 2 * 1000 / 12


@given(LIVES)
def test_clients_ask_often_enough_not_to_miss_half_of_a_life_and_not_more_often_than_sense(life):
    seconds = poll_interval(START, START + timedelta(seconds=life))
    assert 60 <= seconds <= 6 * 3600
    assert seconds <= max(60, life / 24)
