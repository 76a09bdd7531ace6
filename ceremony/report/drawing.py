"""Where everything of the two drawings lies: the ceremony in time, and its certificates as a tree.

Only numbers are made here; the templates write the SVG, so that every text goes through their escaping.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ceremony.report.papers import CertificateFacts
from ceremony.report.story import Moment, Story

WIDTH = 960
_LABELS = 250
_RIGHT = 20
_ROW = 22
_TOP = 34
_MARKS = (1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 86_400_000)
_MOST_MARKS = 8
_BOX_WIDTH, _BOX_HEIGHT = 300, 62
_COLUMN, _LINE = 370, 82


@dataclass(frozen=True, slots=True)
class Bar:
    """A step: its row, and from where to where; `open` where it never ended."""

    label: str
    y: int
    x: float
    width: float
    open: bool
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the row of its step."""

    event: str
    x: float
    y: int
    words: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the time scale."""

    x: float
    words: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The ceremony in time."""

    width: int
    height: int
    left: int
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A certificate, and within its box the bar of its validity on a scale that all boxes share."""

    certificate: CertificateFacts
    x: int
    y: int
    bar_x: float
    bar_width: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """From an issuer's box to that of what it signed."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Tree:
    """The certificates, issuers to the left of what they signed."""

    width: int
    height: int
    box_width: int
    box_height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def duration(milliseconds: int) -> str:
    """A length of time in the two largest units that it has."""
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, rest = divmod(minutes, 60)
    large, small = (
        (f"{hours} h", f"{rest} min" if rest else "")
        if hours
        else (f"{minutes} min", f"{seconds} s" if seconds else "")
    )
    return f"{large} {small}".strip()


def draw_timeline(story: Story) -> Timeline:
    """A row for each step, a mark for each moment; the scale fits the length of the ceremony."""
    length = max(story.length_ms, 1)

    def place(milliseconds: int) -> float:
        return round(_LABELS + milliseconds / length * (WIDTH - _LABELS - _RIGHT), 1)

    rows = {span.step: _TOP + number * _ROW for number, span in enumerate(story.spans, 1)}
    bars = []
    for span in story.spans:
        end = length if span.ended_ms is None else span.ended_ms
        took = "not ended" if span.ended_ms is None else duration(span.ended_ms - span.started_ms)
        bars.append(
            Bar(
                label=span.step,
                y=rows[span.step],
                x=place(span.started_ms),
                width=round(max(place(end) - place(span.started_ms), 1.5), 1),
                open=span.ended_ms is None,
                words=f"{span.step} {span.does}: {took}",
            )
        )
    return Timeline(
        width=WIDTH,
        height=_TOP + (len(rows) + 1) * _ROW + 10,
        left=_LABELS,
        bars=tuple(bars),
        marks=tuple(_mark(each, place(each.at_ms), rows.get(each.step, _TOP)) for each in story.moments),
        ticks=tuple(Tick(place(at), duration(at)) for at in _ticks(length)),
    )


def _mark(moment: Moment, x: float, y: int) -> Mark:
    return Mark(moment.event, x, y, f"{moment.words} ({duration(moment.at_ms)})")


def _ticks(length: int) -> range:
    distance = next((each for each in _MARKS if length / each <= _MOST_MARKS), _MARKS[-1])
    return range(0, length + 1, distance)


def draw_tree(certificates: Sequence[CertificateFacts]) -> Tree:
    """Each certificate right of the one that issued it, one row each, top to bottom."""
    issuers = [_issuer(each, certificates) for each in certificates]
    placed: dict[int, tuple[int, int]] = {}
    row = itertools.count()
    # Roots first; what then is left stands in a circle of cross-certificates, and any of it may begin.
    for number in sorted(range(len(certificates)), key=lambda each: issuers[each] is not None):
        _place(number, 0, issuers, placed, row)
    boxes = {
        number: _box(certificates[number], depth, line, certificates)
        for number, (depth, line) in placed.items()
    }
    return Tree(
        width=max((box.x + _BOX_WIDTH + 10 for box in boxes.values()), default=0),
        height=max((box.y + _BOX_HEIGHT + 10 for box in boxes.values()), default=0),
        box_width=_BOX_WIDTH,
        box_height=_BOX_HEIGHT,
        boxes=tuple(boxes.values()),
        arrows=tuple(_arrows(issuers, boxes)),
    )


def _box(
    certificate: CertificateFacts, depth: int, line: int, all_of_them: Sequence[CertificateFacts]
) -> Box:
    first = min(each.not_before for each in all_of_them)
    whole = (max(each.not_after for each in all_of_them) - first).total_seconds() or 1
    begins = (certificate.not_before - first).total_seconds() / whole
    lasts = (certificate.not_after - certificate.not_before).total_seconds() / whole
    x, room = 10 + depth * _COLUMN, _BOX_WIDTH - 20
    return Box(
        certificate,
        x=x,
        y=10 + line * _LINE,
        bar_x=round(x + 10 + begins * room, 1),
        bar_width=round(max(lasts * room, 1.5), 1),
    )


def _issuer(certificate: CertificateFacts, all_of_them: Sequence[CertificateFacts]) -> int | None:
    """The first certificate of the issuer's name and key, if it is another one."""
    for number, each in enumerate(all_of_them):
        same_key = not (certificate.issuer_key_id and each.key_id) or certificate.issuer_key_id == each.key_id
        if each.subject == certificate.issuer and same_key and not certificate.self_issued:
            return None if each is certificate else number
    return None


def _place(
    number: int,
    depth: int,
    issuers: Sequence[int | None],
    placed: dict[int, tuple[int, int]],
    row: Iterator[int],
) -> None:
    """Put a certificate and all below it; one that was put already is not put again, so a circle ends."""
    if number in placed:
        return
    placed[number] = depth, next(row)
    for below, issuer in enumerate(issuers):
        if issuer == number:
            _place(below, depth + 1, issuers, placed, row)


def _arrows(issuers: Sequence[int | None], boxes: dict[int, Box]) -> Iterator[Arrow]:
    for number, issuer in enumerate(issuers):
        if issuer is not None and number in boxes and issuer in boxes:
            above, below = boxes[issuer], boxes[number]
            half = _BOX_HEIGHT // 2
            yield Arrow(above.x + _BOX_WIDTH, above.y + half, below.x, below.y + half)
