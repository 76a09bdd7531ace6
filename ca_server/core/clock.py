"""Time as a value: aware UTC, whole seconds, always passed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Protocol

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Clock(Protocol):
    """Tells the time; the one implementation that reads the machine's clock lives in `compose`."""

    def now(self) -> datetime:
        """The current time, aware UTC, whole seconds."""


def to_epoch(moment: datetime) -> int:
    """Seconds since 1970-01-01T00:00:00Z, the form in which the database keeps times."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """The aware UTC time of a number of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def to_text(moment: datetime) -> str:
    """RFC 3339 with `Z`, whole seconds: the form used in events, REST and logs."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def from_text(text: str) -> datetime:
    """The time that an RFC 3339 text with an offset names, in UTC, whole seconds.

    Raises:
        ValueError: the text is not RFC 3339 or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return moment.astimezone(UTC).replace(microsecond=0)


def from_rfc3339(text: str) -> datetime:
    """The time that a stranger's text names: RFC 3339 §5.6, which is stricter than what Python reads.

    Raises:
        ValueError: the text is none, or there is no such time; the error never shows the text.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("a time is RFC 3339 with an offset, such as 2027-01-31T00:00:00Z")
    try:
        return from_text(text.upper())
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None
