"""When a certificate should be renewed: a window in its life, or at once (RFC 9773 §4.2).

Clients choose a time within the window at random. The window itself is moved a little by the serial number,
so that certificates made in one minute are spread even where clients renew as soon as they may.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from fractions import Fraction

SHORT_LIVED = timedelta(days=10)
# Where in its life a certificate is due: of a short one more must be left, should renewing fail at first.
_DUE = Fraction(2, 3)
_DUE_SHORT = Fraction(1, 2)
# How wide a window is, and as far it is moved at most, in parts of a life.
_WIDTH = Fraction(1, 24)

# A window in the past: clients renew at once (RFC 9773 §4.2).
_FORCED_WIDTH = timedelta(hours=1)

MIN_RETRY_AFTER, MAX_RETRY_AFTER = 60, 6 * 3600


def suggested_window(
    not_before: datetime, not_after: datetime, serial_number: int, now: datetime, *, forced: bool
) -> tuple[datetime, datetime]:
    """The first and last second at which a certificate is best renewed; always the same unless forced.

    About two thirds into a life, half into one that is shorter than 10 days. With `forced` the window ends
    now. Whole seconds; the end is after the start (RFC 9773 §4.2).
    """
    if forced:
        return now - _FORCED_WIDTH, now
    # Both ends belong to the life (RFC 5280 §4.1.2.5).
    life = int((not_after - not_before).total_seconds()) + 1
    due = _DUE_SHORT if life < SHORT_LIVED.total_seconds() else _DUE
    width = max(1, int(life * _WIDTH))
    start = int(life * (due - _WIDTH)) + _place(serial_number, width)
    return not_before + timedelta(seconds=start), not_before + timedelta(seconds=start + width)


def poll_interval(not_before: datetime, not_after: datetime) -> int:
    """Seconds until a client should ask again: 6 hours, sooner for a life so short that it would matter."""
    life = int((not_after - not_before).total_seconds())
    return min(MAX_RETRY_AFTER, max(MIN_RETRY_AFTER, life // 24))


def _place(serial_number: int, places: int) -> int:
    """One of so many places, every one as likely as the others, whatever serial numbers look like."""
    digest = hashlib.sha256(str(serial_number).encode()).digest()
    return int.from_bytes(digest[:8], "big") % places
