"""The transcript as it is written: whole lines, one process, and a clock that only goes on."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from ca_server.core.ceremony.transcript import FORMAT, Event, parse_transcript
from ca_server.core.errors import CaError, Kind
from ceremony.journal import Journal
from tests.architecture.tree import ROOT
from tests.fixtures.small_ceremony import NOON, SetClock

SCRIPT = "5" * 64
OPENING = {"format": FORMAT, "script_sha256": SCRIPT}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "files" / "transcript.jsonl"


def opened(path: Path, clock: SetClock | None = None) -> Journal:
    journal = Journal(path, clock or SetClock())
    if not journal.lines:
        journal.add(Event.OPENED, OPENING)
    return journal


def test_each_line_names_the_one_before_and_the_first_the_script(path):
    with opened(path) as journal:
        journal.add(Event.BEGIN, {"effect": "pure"}, step="lint")
        journal.add(Event.DONE, {"files": {}}, step="lint", actor="ada")
    lines = parse_transcript(path.read_bytes())
    assert [line.seq for line in lines] == [0, 1, 2]
    assert [line.prev for line in lines] == [SCRIPT, lines[0].digest, lines[1].digest]
    assert [(line.step, line.actor) for line in lines[1:]] == [("lint", "engine"), ("lint", "ada")]
    assert list(lines) == journal.lines


def test_a_transcript_is_for_nobody_else(path):
    with opened(path):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b"{", b'{"actor":"engine","data":{"x":', b"\x00" * 4096])
def test_a_torn_last_line_is_dropped_and_the_next_follows_a_whole_one(path, torn):
    with opened(path) as journal:
        head = journal.head
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with Journal(path, SetClock(NOON + timedelta(minutes=1))) as journal:
        assert path.read_bytes() == whole
        assert journal.head == head
        journal.add(Event.PAUSE, {})
    assert len(parse_transcript(path.read_bytes())) == 2


def test_a_first_line_that_was_torn_leaves_nothing(path):
    path.parent.mkdir()
    path.write_bytes(b'{"actor":"engi')
    with Journal(path, SetClock()) as journal:
        assert journal.lines == []
    assert path.read_bytes() == b""


def test_what_is_no_transcript_is_refused_and_left_as_it_is(path):
    path.parent.mkdir()
    path.write_bytes(b"something else\n")
    with pytest.raises(CaError) as refused:
        Journal(path, SetClock())
    assert refused.value.rule_ids == ("CEREMONY-TRANSCRIPT-LINE",)
    assert path.read_bytes() == b"something else\n"


def test_a_line_that_was_changed_is_refused(path):
    with opened(path) as journal:
        journal.add(Event.PAUSE, {"outcome": "suspended"})
        journal.add(Event.PAUSE, {"outcome": "suspended"})
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"12:00", b"12:01")
    path.write_bytes(b"".join(lines))
    with pytest.raises(CaError) as refused:
        Journal(path, SetClock())
    assert refused.value.rule_ids == ("CEREMONY-TRANSCRIPT-CHAIN",)


def test_a_clock_that_goes_back_stops_and_the_stop_itself_is_written(path):
    clock = SetClock()
    with opened(path, clock) as journal:
        before = journal.head
        clock.time = NOON - timedelta(hours=1)
        with pytest.raises(CaError) as refused:
            journal.add(Event.BEGIN, {}, step="lint")
        assert (refused.value.kind, refused.value.rule_ids) == (Kind.CONFLICT, ("CEREMONY-CLOCK",))
        assert journal.lines == [before]
        stopped = journal.add(Event.STOPPED, {"failure": "F3"}, step="lint")
    # No line is ever earlier than the one before it.
    assert stopped.utc == before.utc
    assert parse_transcript(path.read_bytes())[-1] == stopped


def test_the_end_has_the_time_of_the_last_signature(path):
    with opened(path) as journal:
        before = journal.head
        end = journal.add(Event.END, {"outcome": "completed"}, step="close")
    assert (end.utc, end.mono_ms) == (before.utc, before.mono_ms)


def test_a_second_process_is_turned_away_while_the_first_is_at_it(path):
    program = (
        "import sys; from pathlib import Path; from ca_server.core.errors import CaError\n"
        "from ceremony.clock import SystemClock; from ceremony.journal import Journal\n"
        "try:\n    Journal(Path(sys.argv[1]), SystemClock())\n"
        "except CaError as error:\n    print(*error.rule_ids)\n"
        "else:\n    print('open')\n"
    )

    def second() -> str:
        command = [sys.executable, "-c", program, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()

    with opened(path):
        assert second() == "CEREMONY-RUNNING"
    assert second() == "open"


def test_a_full_disk_leaves_whole_lines_and_the_ceremony_goes_on_when_there_is_room(path):
    """A child with a limit on the size of files: the kernel takes a part of the line and no more."""
    with opened(path):
        pass
    whole = path.read_bytes()
    child = os.fork()
    if child == 0:
        os._exit(_write_beyond(path, len(whole) + 40))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == whole
    with Journal(path, SetClock(NOON + timedelta(minutes=1))) as journal:
        journal.add(Event.PAUSE, {})
    assert len(parse_transcript(path.read_bytes())) == 2


def _write_beyond(path: Path, limit: int) -> int:
    """0 where the line was refused as it should be."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with Journal(path, SetClock(NOON + timedelta(minutes=1))) as journal:
        try:
            journal.add(Event.BEGIN, {"effect": "pure"}, step="lint")
        except CaError as error:
            good = error.rule_ids == ("CEREMONY-DISK",) and os.strerror(errno.EFBIG) in error.detail
            return 0 if good and len(journal.lines) == 1 else 2
    return 1


def test_a_file_where_its_folder_should_be_is_not_written_over(tmp_path):
    (tmp_path / "files").write_text("a file where the folder should be")
    with pytest.raises(CaError) as refused:
        Journal(tmp_path / "files" / "transcript.jsonl", SetClock())
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)


def test_a_link_in_its_place_is_not_followed(path, tmp_path):
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CaError) as refused:
        Journal(path, SetClock())
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)
    assert not (tmp_path / "elsewhere").exists()
