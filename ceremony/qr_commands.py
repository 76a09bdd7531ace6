"""`sealkeeper ceremony qr` and `words`: files over an air gap without media, and digests to be read aloud."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ceremony.qr import Collector

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def qr() -> None:
    """Show a file as QR codes, and read one back from them."""


@qr.command()
@click.argument("file", type=_FILE)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write PNG and SVG pictures and the frames as text into this new folder instead.",
)
@click.option("--inverted", is_flag=True, help="For terminals that write dark on light.")
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII characters alone.")
def show(file: Path, out: Path | None, *, inverted: bool, plain: bool) -> None:
    """Show FILE as QR codes that fit this terminal, one after the other."""
    from ceremony.folder import read_file  # noqa: PLC0415 - help needs none of it
    from ceremony.qr import MAX_BYTES  # noqa: PLC0415
    from ceremony.qr_pictures import Screen, on_screen  # noqa: PLC0415

    content = read_file(file, MAX_BYTES)
    _show_digest(content, file.name)
    if out is not None:
        _write_pictures(content, out)
        return
    screen = Screen.of(sys.stdout)
    screen = Screen(screen.columns, screen.rows, blocks=screen.blocks and not plain)
    codes = on_screen(content, screen, inverted=inverted)
    for number, code in enumerate(codes, 1):
        click.echo(code)
        if number < len(codes):
            click.pause(f"code {number} of {len(codes)}; any key for the next", err=True)
    click.echo(
        f"code {len(codes)} of {len(codes)}; read them by: sealkeeper ceremony qr read --out FILE", err=True
    )


@qr.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new file.")
@click.option("--sha256", help="Refuse a file of any other digest.")
def read(out: Path, sha256: str | None) -> None:
    """Read frames, one a line in any order, from a scanner or from standard input, and write the file."""
    from ca_server.core.errors import Kind, refuse  # noqa: PLC0415 - as above

    if out.exists():
        raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT-EXISTS", f"{out} is there already")
    content = _collect()
    digest = _show_digest(content, out.name)
    if sha256 is not None and sha256.lower() != digest:
        raise refuse(Kind.CONFLICT, "CEREMONY-QR-DIGEST", f"the file's SHA-256 is not {sha256}")
    with out.open("xb") as file:
        file.write(content)
    click.echo(out)


@click.command()
@click.argument("digest", nargs=-1, required=True)
def words(digest: tuple[str, ...]) -> None:
    """Turn a DIGEST into words to be read aloud, or the words that were heard into the digest."""
    from ca_server.core.errors import Kind, refuse  # noqa: PLC0415 - as above
    from ceremony.words import from_words, to_words  # noqa: PLC0415

    said = " ".join(digest).replace(":", "").split()
    joined = "".join(said)
    if all(sign in "0123456789abcdefABCDEF" for sign in joined):
        if len(joined) not in {64, 96, 128}:
            raise refuse(Kind.MALFORMED, "CEREMONY-WORD", "a digest has 64, 96 or 128 hexadecimal digits")
        click.echo(" ".join(to_words(joined)))
    else:
        click.echo(from_words(said))


def _show_digest(content: bytes, name: str) -> str:
    from ceremony.display import Display  # noqa: PLC0415 - as above

    digest = hashlib.sha256(content).hexdigest()
    Display().show_digest(name, digest)
    return digest


def _write_pictures(content: bytes, folder: Path) -> None:
    from ca_server.core.errors import Kind, refuse  # noqa: PLC0415 - as above
    from ceremony.qr_pictures import pictures  # noqa: PLC0415

    if folder.exists():
        raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT-EXISTS", f"{folder} is there already")
    made = pictures(content)
    folder.mkdir()
    for number, (_, code) in enumerate(made, 1):
        stem = folder / f"{number:02}-of-{len(made):02}"
        code.save(f"{stem}.png", scale=8)
        code.save(f"{stem}.svg", scale=8)
        click.echo(f"{stem}.png")
        click.echo(f"{stem}.svg")
    frames = folder / "frames.txt"
    frames.write_text("".join(f"{frame}\n" for frame, _ in made))
    click.echo(frames)


def _collect() -> bytes:
    """A line that is no frame is explained and skipped: the scanner reads it again."""
    from ca_server.core.errors import CaError  # noqa: PLC0415 - as above
    from ceremony.qr import MAX_LINE_CHARACTERS, Collector  # noqa: PLC0415

    collector = Collector()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while not collector.complete and (line := sys.stdin.readline(MAX_LINE_CHARACTERS + 1)):
        if not line.strip():
            continue
        try:
            numbers = collector.add(line)
        except CaError as error:
            click.echo(f"skipped: {error.detail} [{', '.join(error.rule_ids)}]", err=True)
        else:
            click.echo(_progress(collector, numbers), err=True)
    return collector.content()


def _progress(collector: Collector, numbers: tuple[int, ...]) -> str:
    missing = ", ".join(map(str, collector.missing)) or "none"
    return f"part {', '.join(map(str, numbers))} of {collector.total}; missing: {missing}"
