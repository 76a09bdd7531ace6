"""Files as frames: any order, none lost unnoticed, none of another file, and back byte for byte."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.errors import CaError
from ceremony.qr import MAX_BYTES, Collector, to_frames

FILE = b"sealkeeper ceremony statement v1\n" * 20
ALPHANUMERIC = re.compile(r"[0-9A-Z $%*+\-./:]+")


def refusal(call, *arguments) -> CaError:
    with pytest.raises(CaError) as refused:
        call(*arguments)
    return refused.value


def collected(lines) -> bytes:
    collector = Collector()
    for line in lines:
        collector.add(line)
    return collector.content()


def test_a_frame_has_the_documented_form():
    [frame] = to_frames(b"abc", 60)
    # printf abc | sha256sum; printf abc | base32; printf '01 01 BA78... MFRGG' | sha256sum
    assert re.fullmatch(r"SK1 01 01 BA7816BF8F01CFEA [0-9A-F]{4} MFRGG\.", frame)


@given(
    content=st.binary(max_size=2000), characters=st.integers(60, 400), seed=st.randoms(use_true_random=False)
)
def test_any_file_comes_back_from_its_frames_in_any_order(content, characters, seed):
    frames = list(to_frames(content, characters))
    assert all(ALPHANUMERIC.fullmatch(frame) for frame in frames)
    assert len({len(frame) for frame in frames}) == 1
    assert len(frames[0]) <= characters
    seed.shuffle(frames)
    assert collected(frames) == content
    assert collected(["".join(frames)]) == content
    assert collected(f"  {frame.lower()}\r\n" for frame in [*frames, *frames]) == content


@given(st.text(max_size=300))
def test_whatever_is_read_is_a_frame_or_refused(line):
    collector = Collector()
    with pytest.raises(CaError):
        collector.add(line)
    assert collector.total == 0


@given(place=st.integers(0, 199), character=st.characters(codec="ascii"))
def test_a_misread_character_never_changes_the_file(place, character):
    frames = list(to_frames(FILE, 200))
    misread = frames[1][:place] + character + frames[1][place + 1 :]
    collector = Collector()
    collector.add(frames[0])
    with contextlib.suppress(CaError):
        collector.add(misread)
    for frame in frames[1:]:
        collector.add(frame)
    assert collector.content() == FILE


def test_missing_parts_are_named():
    frames = to_frames(FILE, 200)
    collector = Collector()
    assert (collector.total, collector.complete) == (0, False)
    assert "all" in refusal(collector.content).detail
    for number in (2, 5, 3):
        assert collector.add(frames[number - 1]) == (number,)
    assert collector.total == len(frames)
    assert collector.missing == (1, 4, *range(6, len(frames) + 1))
    missing = refusal(collector.content)
    assert missing.rule_ids == ("CEREMONY-QR-MISSING",)
    assert "1, 4, 6" in missing.detail


def test_a_frame_of_another_file_is_refused_and_what_was_taken_stays():
    frames, others = to_frames(FILE, 200), to_frames(FILE + b"!", 200)
    collector = Collector()
    collector.add(frames[0])
    assert refusal(collector.add, others[1]).rule_ids == ("CEREMONY-QR-SET",)
    for frame in frames[1:]:
        collector.add(frame)
    assert collector.content() == FILE


def test_the_same_file_in_frames_of_another_size_is_another_set():
    collector = Collector()
    collector.add(to_frames(FILE, 200)[0])
    assert refusal(collector.add, to_frames(FILE, 120)[0]).rule_ids == ("CEREMONY-QR-SET",)


def forged(number: int, total: int, whole: str, data: str) -> str:
    from ceremony.qr import _frame

    return _frame(f"{number:02} {total:02} {whole}", data, len(data))


def test_parts_that_do_not_have_the_digest_that_they_name_are_refused():
    for data in ("MFRGG", "A", "MFRGGZDFMZTWQ2LK"):
        collector = Collector()
        collector.add(forged(1, 1, "0123456789ABCDEF", data))
        assert refusal(collector.content).rule_ids == ("CEREMONY-QR-DIGEST",)


def test_one_part_with_two_contents_is_refused():
    collector = Collector()
    collector.add(forged(1, 2, "0123456789ABCDEF", "MFRGG"))
    assert refusal(collector.add, forged(1, 2, "0123456789ABCDEF", "MFRGH")).rule_ids == ("CEREMONY-QR-SET",)


@pytest.mark.parametrize(("number", "total"), [(0, 1), (2, 1), (0, 0)])
def test_a_number_outside_its_total_is_refused(number, total):
    error = refusal(Collector().add, forged(number, total, "0123456789ABCDEF", "MFRGG"))
    assert error.rule_ids == ("CEREMONY-QR-FRAME",)


def test_a_frame_that_was_cut_off_is_refused():
    [frame] = to_frames(b"abc", 60)
    assert refusal(Collector().add, frame.rstrip(".")).rule_ids == ("CEREMONY-QR-FRAME",)


def test_what_is_too_large_is_refused():
    assert refusal(to_frames, bytes(MAX_BYTES + 1), 1990).rule_ids == ("CEREMONY-QR-SIZE",)
    assert refusal(to_frames, bytes(MAX_BYTES), 150).rule_ids == ("CEREMONY-QR-SIZE",)
    assert collected(to_frames(bytes(MAX_BYTES), 1990)) == bytes(MAX_BYTES)


def test_a_line_without_end_is_refused():
    [frame] = to_frames(b"abc", 60)
    assert refusal(Collector().add, frame + "." * 200_000).rule_ids == ("CEREMONY-QR-FRAME",)
