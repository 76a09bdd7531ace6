"""`ceremony qr` and `ceremony words`: files out and in again, and digests both ways."""

from __future__ import annotations

import hashlib

import pytest
import zxingcpp
from click.testing import CliRunner, Result

from ca_server.core.errors import CaError
from ceremony.qr import Collector, to_frames
from ceremony.qr_commands import qr, words
from ceremony.word_list import EVEN, ODD
from ceremony.words import to_words

CONTENT = hashlib.shake_256(b"a file").digest(3000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def run(command, *arguments: object, typed: str = "") -> Result:
    result = CliRunner().invoke(command, [str(each) for each in arguments], input=typed)
    if isinstance(result.exception, CaError):
        raise result.exception
    return result


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "request.csr"
    path.write_bytes(CONTENT)
    return path


def test_pictures_are_read_by_another_library_and_come_back(file, tmp_path):
    from PIL import Image

    shown = run(qr, "show", file, "--out", tmp_path / "codes")
    assert DIGEST in shown.stderr
    pictures = [line for line in shown.stdout.splitlines() if line.endswith(".png")]
    frames = []
    for picture in pictures:
        with Image.open(picture) as image:
            frames += [
                found.text
                for found in zxingcpp.read_barcodes(image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
            ]
    assert (tmp_path / "codes" / "frames.txt").read_text().splitlines() == frames
    assert all((tmp_path / "codes" / f"01-of-{len(frames):02}.{kind}").exists() for kind in ("png", "svg"))
    read = run(qr, "read", "--out", tmp_path / "back", "--sha256", DIGEST.upper(), typed="\n".join(frames))
    assert read.stdout == f"{tmp_path / 'back'}\n"
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_frames_in_any_order_with_lines_between_are_read_and_what_is_missing_is_said(tmp_path):
    frames = to_frames(CONTENT, 2000)
    assert len(frames) == 3
    typed = "\n".join(
        [
            "\xff",
            frames[2],
            "",
            "noise",
            to_frames(b"other", 100)[0],
            frames[0],
            frames[2],
            frames[1],
            "after",
        ]
    )
    read = run(qr, "read", "--out", tmp_path / "back", typed=typed)
    assert "part 3 of 3; missing: 1, 2\n" in read.stderr
    assert "part 2 of 3; missing: none\n" in read.stderr
    assert "[CEREMONY-QR-FRAME]" in read.stderr
    assert "[CEREMONY-QR-SET]" in read.stderr
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_noise_that_is_no_text_is_skipped(tmp_path):
    [frame] = to_frames(b"abc", 100)
    arguments = ["read", "--out", str(tmp_path / "back")]
    result = CliRunner().invoke(qr, arguments, input=b"\xff\x00\xfe\n" + frame.encode() + b"\n")
    assert result.exit_code == 0
    assert (tmp_path / "back").read_bytes() == b"abc"


def test_an_input_that_ends_too_soon_writes_nothing(tmp_path):
    with pytest.raises(CaError) as refused:
        run(qr, "read", "--out", tmp_path / "back", typed=to_frames(CONTENT, 2000)[1])
    assert refused.value.rule_ids == ("CEREMONY-QR-MISSING",)
    assert "1, 3" in refused.value.detail
    assert not (tmp_path / "back").exists()


def test_a_file_of_another_digest_than_the_one_demanded_is_not_written(tmp_path):
    typed = "\n".join(to_frames(CONTENT, 2000))
    with pytest.raises(CaError) as refused:
        run(qr, "read", "--out", tmp_path / "back", "--sha256", "0" * 64, typed=typed)
    assert refused.value.rule_ids == ("CEREMONY-QR-DIGEST",)
    assert not (tmp_path / "back").exists()


def test_nothing_is_overwritten(file, tmp_path):
    for arguments in (("show", file, "--out", tmp_path), ("read", "--out", file)):
        with pytest.raises(CaError) as refused:
            run(qr, *arguments)
        assert refused.value.rule_ids == ("CEREMONY-OUTPUT-EXISTS",)
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("option", ["--ascii", "--inverted"])
def test_without_a_terminal_all_codes_are_printed_for_a_small_one(tmp_path, option):
    (tmp_path / "small").write_bytes(CONTENT[:100])
    shown = run(qr, "show", tmp_path / "small", option)
    assert "code 3 of 3" in shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert shown.stdout.isascii()


def test_what_is_too_large_for_codes_is_refused(tmp_path):
    (tmp_path / "large").write_bytes(bytes(70_000))
    with pytest.raises(CaError) as refused:
        run(qr, "show", tmp_path / "large")
    assert refused.value.rule_ids == ("CEREMONY-QR-SIZE",)


def test_a_digest_becomes_words_and_words_the_digest():
    said = run(words, *DIGEST.upper().split()).stdout
    assert said.split() == list(to_words(DIGEST))
    assert run(words, said.lower()).stdout == f"{DIGEST}\n"
    assert run(words, *said.split()).stdout == f"{DIGEST}\n"
    fours = [DIGEST[place : place + 4] for place in range(0, 64, 4)]
    assert run(words, *fours).stdout == said


@pytest.mark.parametrize("wrong", ["abc", "00" * 31, "topmost topmost", "0" * 63 + "g"])
def test_what_is_neither_a_digest_nor_its_words_is_refused(wrong):
    with pytest.raises(CaError) as refused:
        run(words, wrong)
    assert refused.value.rule_ids == ("CEREMONY-WORD",)


def test_no_word_could_be_taken_for_digits():
    assert not [word for word in EVEN + ODD if set(word.lower()) <= set("0123456789abcdef")]


def test_the_frames_in_the_folder_are_those_of_the_collector(file, tmp_path):
    run(qr, "show", file, "--out", tmp_path / "codes")
    collector = Collector()
    for line in (tmp_path / "codes" / "frames.txt").read_text().splitlines():
        collector.add(line)
    assert collector.content() == CONTENT
