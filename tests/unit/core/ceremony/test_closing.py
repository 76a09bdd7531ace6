"""The closing statement has one spelling, and `sha256sum -c` reads its list."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ca_server.core.ceremony import closing
from ca_server.core.ceremony.closing import Closing, Present, is_listed, make_closing, parse_closing
from ca_server.core.ceremony.transcript import Outcome
from ca_server.core.errors import CaError

GOOD = Closing(
    ceremony="root-r1-2027",
    kind="root-generate",
    mode="rehearsal",
    outcome=Outcome.COMPLETED,
    script_sha256="1" * 64,
    roster_sha256="2" * 64,
    head_sequence=41,
    head_sha256="3" * 64,
    time=datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC),
    deviations=0,
    present=(Present("administrator", "ada", "Ada Lovelace"), Present("key-officer", "bob", "Bob Özil")),
    files={"authorities/root-r1.cer": "4" * 64, "script.toml": "1" * 64},
)


def refused(data: bytes) -> str:
    with pytest.raises(CaError) as error:
        parse_closing(data)
    assert error.value.rule_ids == ("CEREMONY-CLOSING",)
    return error.value.detail


def test_what_was_written_is_read_and_written_the_same():
    text = make_closing(GOOD)
    assert parse_closing(text) == GOOD
    assert make_closing(parse_closing(text)) == text
    shuffled = replace(GOOD, present=GOOD.present[::-1], files=dict(reversed(GOOD.files.items())))
    assert make_closing(shuffled) == text
    assert text.decode().splitlines()[:3] == [
        "sealkeeper ceremony closing statement v1",
        "ceremony: root-r1-2027",
        "kind: root-generate",
    ]


def test_sha256sum_checks_the_list(tmp_path):
    content = {"script.toml": b"id = 1\n", "gates/0003-open-key-officer-bob.txt": b"text\n"}
    for path, data in content.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in content.items()}
    (tmp_path / "closing.txt").write_bytes(make_closing(replace(GOOD, files=digests)))
    check = ["sha256sum", "--check", "--quiet", "closing.txt"]
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    (tmp_path / "script.toml").write_bytes(b"id = 2\n")
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 1


def test_what_cannot_be_listed():
    assert not any(
        map(is_listed, ("closing.txt", "transcript.jsonl", "gates/0041-close-auditor-eve.txt.sig"))
    )
    assert all(map(is_listed, ("script.toml", "gates/0041-approve-auditor-eve.txt", "inputs/x-close-y")))


CHANGES = [
    (b"v1\n", b"v2\n"),
    (b"kind: root-generate\n", b""),
    (b"kind:", b"Kind:"),
    (b"mode: rehearsal", b"mode: practice"),
    (b"outcome: completed", b"outcome: fine"),
    (b"sequence: 41", b"sequence: 041"),
    (b"sequence: 41", "sequence: ٤١".encode()),
    (b"time: 2027-03-01T12:00:00Z", b"time: 2027-03-01T12:00:00+00:00"),
    (b"time: 2027-03-01", b"time: 2027-02-30"),
    (b"deviations: 0", b"deviations: -1"),
    (b"Ada Lovelace", b""),
    (b"Ada Lovelace", b" Ada"),
    (b"Ada Lovelace", b"\x1b[2J"),
    (b"person: key-officer bob", b"person: administrator ada"),
    (b"  script.toml", b" script.toml"),
    (b"  script.toml", b"  authorities/root-r1.cer"),
    (b"  script.toml", b"  ../script.toml"),
    (b"  script.toml", b"  closing.txt"),
    (b"  script.toml\n", b"  script.toml"),
    (b"  script.toml\n", b"  script.toml\n\n"),
    (b"\n\n", b"\n"),
    (b"Bob", b"\xff"),
    (b"script-sha256: 1", b"script-sha256: A"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_any_other_spelling_is_refused(old, new):
    text = make_closing(GOOD)
    assert old in text
    refused(text.replace(old, new))


def test_nobody_is_there_at_the_end_of_what_never_began():
    nobody = replace(GOOD, outcome=Outcome.ABORTED_CLEAN, present=())
    assert parse_closing(make_closing(nobody)) == nobody


def test_the_size_comes_first():
    assert "KiB" in refused(b"x" * (closing.MAX_CLOSING_BYTES + 1))


def test_our_own_bad_text_is_never_signed():
    for bad in (
        replace(GOOD, ceremony="two\nlines"),
        replace(GOOD, present=()),
        replace(GOOD, files={}),
        replace(GOOD, present=(Present("administrator", "ada", "Ada\nmode: production"),)),
        replace(GOOD, present=(Present("administrator", "ada", "Ada\nperson: auditor eve Eve"),)),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            make_closing(bad)
