"""Whatever times are asked for: they are judged, and what is granted lies within all bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from ca_server.core.validity_rules import judge_validity
from tests.fakes.paper_authority import NOW, make_issuer
from tests.fakes.paper_profiles import own_profile

RULES = own_profile("").validity
ISSUER = make_issuer().certificate
SECOND = timedelta(seconds=1)
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Any time at all, and often one near now, which may be granted.
NEAR = st.timedeltas(-timedelta(days=120), timedelta(days=120)) | st.timedeltas(
    -timedelta(minutes=10), timedelta(minutes=10)
)
TIMES = st.none() | st.datetimes(timezones=OFFSETS) | NEAR.map(lambda distance: NOW + distance)
LAST, FIRST = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@given(TIMES, TIMES)
@example(LAST, None)
@example(LAST, LAST)
@example(FIRST, FIRST)
@example(FIRST, LAST)
@example(datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))), None)
@example(datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), None)
def test_any_times_are_judged_and_only_good_ones_granted(not_before, not_after):
    begin, end, broken = judge_validity(RULES, ISSUER, NOW, not_before, not_after)
    earliest = max(NOW - RULES.backdate, ISSUER.not_valid_before_utc)
    if not_before is not None:
        asked = not_before.replace(microsecond=0)
        is_good = earliest <= asked <= NOW + RULES.backdate
        assert is_good != ("PROFILE-VALIDITY-BEGIN" in [each.rule_id for each in broken])
    if broken:
        return
    assert earliest <= begin < end <= ISSUER.not_valid_after_utc
    assert NOW < end <= max(begin, NOW) + RULES.max - SECOND
    assert not_before is None or begin == asked
    assert not_after is None or end == not_after.replace(microsecond=0)
