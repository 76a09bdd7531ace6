"""A file crosses from one terminal to another: drawn here, read by somebody else's library, typed there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.unit.ceremony.test_qr_pictures import photographed

SEALKEEPER = str(Path(sys.executable).with_name("sealkeeper"))


def at_terminal(*arguments: str, term: str, columns: int) -> pexpect.spawn:
    return pexpect.spawn(
        SEALKEEPER,
        ["ceremony", "qr", *arguments],
        env={**os.environ, "TERM": term},
        encoding="utf-8",
        dimensions=(50, columns),
        timeout=30,
    )


@pytest.mark.parametrize(("term", "wide"), [("xterm", 1), ("vt100", 2)])
def test_a_certificate_request_crosses_from_one_terminal_to_another(tmp_path, term, wide):
    request = tmp_path / "request.csr"
    command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes"]
    command += ["-subj", "/CN=Example Works Issuing CA I2", "-outform", "DER", "-out", str(request)]
    subprocess.run([*command, "-keyout", str(tmp_path / "key")], check=True, capture_output=True)

    showing = at_terminal("show", str(request), term=term, columns=80)
    screens = []
    while showing.expect([r"code \d+ of \d+; any key for the next", pexpect.EOF]) == 0:
        screens.append(showing.before)
        showing.send(" ")
    screens.append(showing.before)
    showing.close()
    assert showing.exitstatus == 0
    frames = [photographed(code_in(screen, wide), wide=wide) for screen in screens]
    assert len(frames) > 1

    back = tmp_path / "back.csr"
    reading = at_terminal("read", "--out", str(back), term=term, columns=80)
    reading.sendline("a slip of the scanner")
    reading.expect_exact("[CEREMONY-QR-FRAME]")
    for frame in reversed(frames):
        reading.sendline(frame)
    reading.expect_exact("missing: none")
    reading.expect(pexpect.EOF)
    reading.close()
    assert reading.exitstatus == 0
    assert back.read_bytes() == request.read_bytes()


def code_in(screen: str, wide: int) -> str:
    """The lines of one code, found by the signs that it is drawn with."""
    signs = "[█▀▄ ]{30,}" if wide == 1 else "[# ]{30,}"
    lines = [line for line in screen.replace("\r", "").split("\n") if re.fullmatch(signs, line)]
    return "\n".join(line for line in lines if line.strip())
