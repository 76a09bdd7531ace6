"""Codes as pictures and as characters on a terminal, read back by somebody else's library."""

from __future__ import annotations

import hashlib
import io
import os
import pty

import pytest
import segno
import zxingcpp

from ceremony.qr import Collector
from ceremony.qr_pictures import CAPACITY, MAX_JOINED, Screen, on_screen, pictures

PIXELS = 4
# Among thousands of modules some look like a bar code of another kind.
QR = zxingcpp.BarcodeFormat.QRCode
LARGE = b"".join(b"%05d\n" % number for number in range(2000))


def read_png(code: segno.QRCode) -> list[str]:
    from PIL import Image

    file = io.BytesIO()
    code.save(file, kind="png", scale=PIXELS)
    with Image.open(file) as image:
        return [found.text for found in zxingcpp.read_barcodes(image.convert("L"), formats=QR)]


def photographed(drawn: str, *, wide: int, inverted: bool = False) -> str:
    """The text of a code drawn by characters, seen as light on dark; `wide` characters make a module."""
    rows: list[list[bool]] = []
    for line in drawn.split("\n"):
        cells = line[::wide]
        if wide == 1:
            rows += [[cell in "█▀" for cell in cells], [cell in "█▄" for cell in cells]]
        else:
            rows.append([cell == "#" for cell in cells])
    return read_modules([[lit != inverted for lit in row] for row in rows])


def read_modules(light: list[list[bool]]) -> str:
    margin = 4
    width = (len(light[0]) + 2 * margin) * PIXELS
    white = bytes([255]) * (width * margin * PIXELS)
    edge = bytes([255]) * (margin * PIXELS)
    lines = b"".join(
        (edge + b"".join(bytes([255 * lit]) * PIXELS for lit in row) + edge) * PIXELS for row in light
    )
    data = white + lines + white
    image = memoryview(data).cast("B", (len(data) // width, width))
    [found] = zxingcpp.read_barcodes(image, formats=QR, try_invert=False)
    return found.text


def collected(lines: list[str]) -> bytes:
    collector = Collector()
    for line in lines:
        collector.add(line)
    return collector.content()


def test_twelve_thousand_characters_come_back_from_pictures_in_any_order():
    assert len(LARGE) == 12_000
    made = pictures(LARGE)
    assert 1 < len(made) <= MAX_JOINED
    read = [read_png(code) for _, code in made]
    assert [[frame] for frame, _ in made] == read
    assert collected([line for lines in reversed(read) for line in lines]) == LARGE


def test_a_reader_that_joins_the_codes_itself_gives_the_same_file():
    made = pictures(LARGE)
    alone = [segno.make_qr(frame, error="m", mode="alphanumeric", boost_error=False) for frame, _ in made]
    assert all(joined != single for (_, joined), single in zip(made, alone, strict=True))
    # Such a reader gives the texts one after the other, in the order of the codes' numbers.
    joined = "".join(text for _, code in made for text in read_png(code))
    assert collected([joined]) == LARGE


def test_more_than_sixteen_codes_are_not_joined_and_come_back_all_the_same():
    content = hashlib.shake_256(b"a large file").digest(24_000)
    made = pictures(content)
    assert len(made) > MAX_JOINED
    assert collected([text for _, code in made for text in read_png(code)]) == content


def test_a_small_file_is_one_code():
    [(frame, code)] = pictures(b"abc")
    assert read_png(code) == [frame]


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 50), (132, 60), (40, 12), (200, 200)])
def test_a_statement_comes_back_from_a_screen(columns, rows, blocks, inverted):
    content = hashlib.shake_256(b"a statement").digest(400)
    screen = Screen(columns, rows, blocks=blocks)
    codes = on_screen(content, screen, inverted=inverted)
    wide = 1 if blocks else 2
    if screen.version > min(CAPACITY):
        for code in codes:
            lines = code.split("\n")
            assert max(map(len, lines)) <= columns
            assert not blocks or len(lines) <= rows - 1
    assert collected([photographed(code, wide=wide, inverted=inverted) for code in codes]) == content


def test_a_console_without_blocks_gets_ascii_alone():
    assert "".join(on_screen(b"abc" * 50, Screen(80, 24, blocks=False))).isascii()


@pytest.mark.parametrize("version", CAPACITY)
def test_the_table_of_capacities_is_the_one_of_the_library(version):
    def made(characters):
        return segno.make_qr(
            "A" * characters, version=version, error="l", mode="alphanumeric", boost_error=False
        )

    made(CAPACITY[version])
    with pytest.raises(segno.DataOverflowError):
        made(CAPACITY[version] + 1)


@pytest.mark.parametrize(
    ("term", "encoding", "blocks"),
    [
        ("xterm-256color", "utf-8", True),
        ("dumb", "utf-8", False),
        ("vt220", "utf-8", False),
        ("xterm", "latin-1", False),
    ],
)
def test_a_terminal_is_asked_what_it_can_show(monkeypatch, term, encoding, blocks):
    monkeypatch.setenv("TERM", term)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding=encoding) as stream:
        assert Screen.of(stream).blocks is blocks
    os.close(ours)
    assert Screen.of(io.StringIO()) == Screen(80, 24, blocks=False)
