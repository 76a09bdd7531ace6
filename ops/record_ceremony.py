"""Holds a rehearsal at a terminal of its own and writes the README's picture of it, from what really came.

.venv/bin/python -m ops.record_ceremony ops/docs/images/ceremony.svg
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

COLUMNS = 80
SECONDS = 60
SEALKEEPER = str(Path(sys.executable).with_name("sealkeeper"))
CONFIRMATION, QUESTION = r"Type yes when this is so: ", r"\[[^\]\n]+\]: (\x1b\[0m)?$"
TITLE = "A rehearsal at the terminal"
DESCRIPTION = (
    "The plan with the digest of its script as hexadecimal digits and as words; a gate, at which officers "
    "sign a statement over the bytes that the HSM will sign; the signature; and the digest of the bundle."
)

# What is shown of the session, each from a line up to the one before another.
PARTS = (
    (r"== REHEARSAL", r"$"),
    (r"-- step \d+ of \d+: approve-root-r1 ", r".*reads and signs this statement"),
    (r"How does key-officer-1 sign", r"Signing file"),
    (r"gate approve, key-officer: \[x\]\[ \]", r"Signed as key-officer"),
    (r"gate approve, key-officer: \[x\]\[x\]", r"Who signs next"),
    (r"gate approve, internal-witness", r"$"),
    (r"-- step \d+ of \d+: sign-root-r1 ", r"  [0-9a-f]{4} "),
    (r"== COMPLETED", r"next, on another machine"),
)
LEFT_OUT = "   [...]"

# No font is fetched, and light behind dark is read on any page.
TEMPLATE = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>TITLE</title>
<desc>DESCRIPTION</desc>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect x="1" y="1" width="99.8%" height="99.8%" rx="8" fill="#ffffff" stroke="#8a8f98"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""


def hold(directory: Path) -> str:
    """What a whole rehearsal by hand shows; ENTER takes each question's default."""
    script = directory / "script.toml"
    script.write_bytes(subprocess.check_output([SEALKEEPER, "ceremony", "script"]))
    arguments = ["ceremony", "rehearse", str(script), "--directory", str(directory / "room"), "--by-hand"]
    session = io.StringIO()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    terminal = pexpect.spawn(
        SEALKEEPER, arguments, encoding="utf-8", dimensions=(50, COLUMNS), timeout=SECONDS, env=environment
    )
    terminal.logfile_read = session
    while (asked := terminal.expect([CONFIRMATION, QUESTION, pexpect.EOF])) != 2:
        terminal.sendline(("yes", "")[asked])
    terminal.close()
    if terminal.exitstatus != 0:
        sys.exit(f"the rehearsal failed:\n{session.getvalue()[-2000:]}")
    return session.getvalue().replace("\r\n", "\n").replace(f"{directory}/", "")


def excerpt(session: str) -> Iterator[Text]:
    """The lines of the parts, with their colours."""
    lines = [Text.from_ansi(line) for line in session.split("\n")]
    yield Text("$ sealkeeper ceremony rehearse script.toml --directory room --by-hand")
    yield Text()
    at = 0
    for first, after in PARTS:
        start = next((place for place in range(at, len(lines)) if re.match(first, lines[place].plain)), None)
        if start is None:
            sys.exit(f"the session has no line that matches {first}")
        if at and start > at:
            yield from (Text(LEFT_OUT, style="dim"), Text())[
                : 1 + lines[start].plain.startswith(("--", "=="))
            ]
        at = next(place for place in range(start + 1, len(lines)) if re.match(after, lines[place].plain))
        yield from lines[start:at]


def draw(lines: Iterator[Text]) -> str:
    """The lines as a picture."""
    console = Console(
        record=True, width=COLUMNS + 2, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    template = TEMPLATE.replace("TITLE", TITLE).replace("DESCRIPTION", DESCRIPTION)
    return console.export_svg(
        title=TITLE, theme=DEFAULT_TERMINAL_THEME, code_format=template, unique_id="ceremony"
    )


def main(picture: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as directory:
        picture.write_text(draw(excerpt(hold(Path(directory)))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
