"""What a report tells its readers to type does what it says, on the bundle that it was drawn from."""

from __future__ import annotations

import hashlib
import html
import os
import re
import subprocess

import pytest

from ceremony.report.facts import gather
from ceremony.report.html import render
from tests.fixtures.hand_made_bundle import Ceremony, Officers, pack, unpack


@pytest.fixture(scope="module")
def bundle():
    return Ceremony(Officers()).hold()


@pytest.fixture(scope="module")
def commands(bundle):
    report = render(gather(unpack(bundle), hashlib.sha256(bundle).hexdigest()))
    section = report[report.index('<section id="check"') :]
    return [html.unescape(each) for each in re.findall(r"<pre>(.*?)</pre>", section, re.DOTALL)]


def run(command, folder):
    return subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )


def test_every_command_passes_on_the_bundle(bundle, commands, tmp_path):
    (tmp_path / "bundle.tar").write_bytes(bundle)
    answers = [run(command, tmp_path) for command in commands]
    assert [each.returncode for each in answers] == [0, 0, 0, 0], [each.stderr for each in answers]
    assert "BAD" not in answers[1].stdout
    assert answers[1].stdout.count("Good ") == sum(name.endswith(".sig") for name in unpack(bundle))
    assert "the transcript is whole" in answers[2].stdout
    assert "OK" in answers[3].stdout


@pytest.mark.parametrize(
    ("name", "number"), [("keys.json", 0), ("gates/", 1), ("transcript.jsonl", 2), ("authorities/", 0)]
)
def test_one_altered_byte_is_found(bundle, commands, tmp_path, name, number):
    files = unpack(bundle)
    path = next(each for each in sorted(files) if each.startswith(name))
    at = len(files[path]) // 2
    files[path] = files[path][:at] + bytes([files[path][at] ^ 1]) + files[path][at + 1 :]
    (tmp_path / "bundle.tar").write_bytes(pack(files))
    run("tar -xf bundle.tar", tmp_path)
    answer = run(commands[number], tmp_path)
    assert answer.returncode or "BAD" in answer.stdout
