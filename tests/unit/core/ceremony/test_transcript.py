"""A transcript has one spelling, and every line names the one before it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest

from ca_server.core.ceremony import transcript
from ca_server.core.ceremony.transcript import Event, line_digest, make_line, parse_transcript, whole_lines
from ca_server.core.errors import CaError

SCRIPT = "5c" * 32
NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
OPENING = {"format": transcript.FORMAT, "script_sha256": SCRIPT}


def line(seq: int, prev: str, event: str = "pause", **data) -> bytes:
    return make_line(
        seq=seq, prev=prev, utc=NOON, mono_ms=1500, step="s10", event=event, actor="engine", data=data
    )


def three_lines() -> list[bytes]:
    lines = [line(0, SCRIPT, "opened", **OPENING)]
    lines.append(line(1, line_digest(lines[0]), "begin", effect="key", attempt=1))
    lines.append(line(2, line_digest(lines[1]), "done", note="Größe"))
    return lines


def refused(data: bytes) -> str:
    with pytest.raises(CaError) as error:
        parse_transcript(data)
    return error.value.rule_ids[0]


def test_what_was_written_is_read():
    stored = three_lines()
    first, second, third = parse_transcript(b"".join(stored))
    assert (first.seq, first.prev, first.event, first.utc) == (0, SCRIPT, Event.OPENED, NOON)
    assert (second.step, second.actor, second.mono_ms, second.data["attempt"]) == ("s10", "engine", 1500, 1)
    assert third.prev == second.digest == hashlib.sha256(stored[1][:-1]).hexdigest()
    assert third.data == {"note": "Größe"}


def test_a_ten_line_walk_agrees():
    """The walk that the documentation gives to outsiders."""
    previous = SCRIPT
    for each in b"".join(three_lines()).splitlines():
        assert json.loads(each)["prev"] == previous
        previous = hashlib.sha256(each).hexdigest()


def test_every_altered_byte_is_found():
    data = b"".join(three_lines())
    for position in range(data.rfind(b"\n", 0, -1)):
        altered = bytearray(data)
        altered[position] ^= 0x01
        assert refused(bytes(altered)) in {"CEREMONY-TRANSCRIPT-CHAIN", "CEREMONY-TRANSCRIPT-LINE"}, position


def test_a_line_left_out_twice_there_or_in_another_place_is_found():
    first, second, third = three_lines()
    for order in ([first, third], [first, second, second], [first, third, second], [first, first], [second]):
        assert refused(b"".join(order)) == "CEREMONY-TRANSCRIPT-CHAIN"


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\n",
        b"[1]\n",
        b"null\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"9" * 5000 + b"\n",
        b'"\\ud800"\n',
        b'{"a":1e999}\n',
        three_lines()[0][:-1],
        three_lines()[0].replace(b",", b", ", 1),
        three_lines()[0].replace(b'"engine"', b'"../engine"'),
        three_lines()[0].replace(b'"opened"', b'"closed"'),
        three_lines()[0].replace(b"2027-03-01", b"2027-13-01"),
        three_lines()[0].replace(b'"mono_ms":1500', b'"mono_ms":-1'),
        three_lines()[0].replace(transcript.FORMAT.encode(), b"ceremony-transcript/v9"),
    ],
)
def test_what_is_no_line_is_refused(stored):
    assert refused(stored) == "CEREMONY-TRANSCRIPT-LINE"


def test_a_second_line_is_held_to_the_same_spelling():
    first, second, _ = three_lines()
    assert refused(first + second.replace(b'"attempt":1', b'"attempt":1.0')) == "CEREMONY-TRANSCRIPT-LINE"
    assert refused(first + second + b"\n") == "CEREMONY-TRANSCRIPT-LINE"


def test_sizes_come_first():
    assert refused(b"x" * (transcript.MAX_TRANSCRIPT_BYTES + 1)) == "CEREMONY-TRANSCRIPT-SIZE"
    assert refused(b"\n" * (transcript.MAX_LINES + 1)) == "CEREMONY-TRANSCRIPT-SIZE"
    assert refused(b'"' + b"x" * transcript.MAX_LINE_BYTES + b'"\n') == "CEREMONY-TRANSCRIPT-LINE"


def test_our_own_bad_lines_are_never_written():
    with pytest.raises(ValueError, match="members"):
        line(0, "no digest")
    with pytest.raises(ValueError, match="members"):
        line(0, SCRIPT, "closed")
    with pytest.raises(ValueError, match="KiB"):
        line(0, SCRIPT, text="x" * transcript.MAX_LINE_BYTES)


def test_a_torn_line_is_cut_off():
    first, second, third = three_lines()
    for cut in range(1, len(third)):
        assert whole_lines(first + second + third[:cut]) == first + second
    assert whole_lines(first) == first
    assert whole_lines(first[:-1]) == b""
