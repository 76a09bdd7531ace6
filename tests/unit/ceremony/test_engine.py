"""The engine around the steps: limits, deviations, pauses, interruptions at any signature, ends."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest

from ca_server.core.archive import unpack
from ca_server.core.ceremony.transcript import Event, Outcome, parse_transcript
from ca_server.core.errors import CaError
from ceremony.attendance import attendance
from ceremony.close import pack_bundle
from ceremony.engine import abort_ceremony, run_ceremony
from ceremony.folder import TRANSCRIPT
from ceremony.people import Aborted, Deviated, Paused
from tests.fixtures.small_ceremony import SmallCeremony, Torn

PRESENT = {
    ("administrator-1", "administrator"),
    ("key-officer-1", "key-officer"),
    ("key-officer-2", "key-officer"),
    ("internal-witness-1", "internal-witness"),
}
# Four signatures open, four close.
SIGNATURES = 8
DEVIATION = Deviated("The bag is torn", "go on with another", "witness")


def lines(small: SmallCeremony):
    return parse_transcript(small.folder.read(TRANSCRIPT))


def events(small: SmallCeremony) -> list[str]:
    return [str(line.event) for line in lines(small)]


def stop_of(small: SmallCeremony) -> tuple[str, list[str]]:
    last = lines(small)[-1]
    assert last.event is Event.STOPPED
    return last.data["failure"], last.data["rule_ids"]


def test_a_whole_ceremony_is_a_transcript_and_a_signed_close(small):
    assert small.run() is Outcome.COMPLETED
    assert events(small) == [
        "opened",
        *("begin", "gate", "gate", "gate", "gate", "done"),
        *("begin", "done"),
        *("begin", "gate", "gate", "gate", "gate", "end"),
    ]
    assert set(attendance(lines(small))) == PRESENT
    assert json.loads(small.folder.read("evidence/bags.json")) == {"bag": "A-0042"}


def test_every_line_that_names_a_file_came_after_it(small):
    small.run()
    for line in lines(small):
        for name in line.data.get("files", {}) if line.event is Event.DONE else ():
            assert small.folder.has(name)


def test_a_ceremony_that_has_ended_stays_ended(small):
    small.run()
    before = small.folder.read(TRANSCRIPT)
    assert small.run() is Outcome.COMPLETED
    with small.room() as room, pytest.raises(CaError) as refused:
        abort_ceremony(room, "too late")
    assert refused.value.rule_ids == ("CEREMONY-ENDED",)
    assert small.folder.read(TRANSCRIPT) == before


def test_the_hours_of_the_script_are_all_there_are(small):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    small.clock.time += timedelta(hours=4)
    with pytest.raises(CaError) as refused:
        small.run()
    assert refused.value.rule_ids == ("CEREMONY-HOURS",)
    assert stop_of(small) == ("F0", ["CEREMONY-HOURS"])
    with small.room() as room:
        assert abort_ceremony(room, "out of time") is Outcome.ABORTED_CLEAN


def test_deviations_are_written_down_and_asked_after_again(small):
    officers = small.officers(at_answer=[DEVIATION, DEVIATION])
    assert small.run(officers) is Outcome.COMPLETED_WITH_DEVIATIONS
    written = [line.data for line in lines(small) if line.event is Event.DEVIATION]
    assert written == [{"text": "The bag is torn", "decision": "go on with another", "by": "witness"}] * 2
    assert b"\ndeviations: 2\n" in small.folder.read("closing.txt")


def test_more_deviations_than_the_script_allows_stop_it(small):
    with pytest.raises(CaError) as refused:
        small.run(small.officers(at_answer=[DEVIATION] * 3))
    assert refused.value.rule_ids == ("CEREMONY-DEVIATIONS",)
    # The one that was too many is written down too.
    assert events(small).count("deviation") == 3
    assert stop_of(small) == ("F0", ["CEREMONY-DEVIATIONS"])


def test_a_pause_is_signed_by_everyone_and_so_is_going_on(small):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    assert events(small)[-5:] == ["pause", "gate", "gate", "gate", "gate"]
    assert lines(small)[-5].data == {"outcome": "suspended"}
    assert small.run() is Outcome.COMPLETED
    after = events(small)[events(small).index("resume") :]
    assert after[:5] == ["resume", "gate", "gate", "gate", "gate"]
    assert set(attendance(lines(small))) == PRESENT


@pytest.mark.parametrize("number", range(1, SIGNATURES + 1))
def test_a_process_that_ends_at_a_signature_is_gone_on_with_by_the_next(small, number):
    with pytest.raises(Torn):
        small.run(small.officers(at_signature=number))
    assert "end" not in events(small)
    assert small.run() is Outcome.COMPLETED
    # What was closed with before the interruption is closed with after it: nobody signs two closes.
    closed = [line for line in lines(small) if line.data.get("gate") == "close"]
    assert len({line.data["person"] for line in closed}) == len(closed) == 4
    listed = {
        line.split("  ")[1]
        for line in small.folder.read("closing.txt").decode().splitlines()[1:]
        if "  " in line
    }
    assert {
        name for name in small.folder.names() if name.startswith("gates/") and "close" not in name
    } <= listed


def test_an_interrupted_close_keeps_its_statement(small):
    with pytest.raises(Torn):
        small.run(small.officers(at_signature=7))
    statement = small.folder.read("closing.txt")
    small.clock.time += timedelta(hours=1)
    assert small.run() is Outcome.COMPLETED
    assert small.folder.read("closing.txt") == statement


def test_an_abort_is_closed_by_those_who_are_there_and_there_is_no_way_back(small):
    assert small.run(small.officers(at_answer=[Aborted()])) is Outcome.ABORTED_CLEAN
    assert [line.data["rule_ids"] for line in lines(small) if line.event is Event.STOPPED] == [
        ["CEREMONY-ABORTED"]
    ]
    assert lines(small)[-1].data == {"outcome": "aborted-clean"}
    assert small.run() is Outcome.ABORTED_CLEAN


def test_an_abort_that_was_interrupted_stays_one(small):
    with pytest.raises(Torn):
        small.run(small.officers(at_answer=[Aborted()], at_signature=6))
    assert small.run() is Outcome.ABORTED_CLEAN


def test_before_anybody_came_the_witness_alone_says_that_it_ends(small):
    with pytest.raises(Torn):
        small.run(small.officers(at_signature=1))
    with small.room() as room:
        assert abort_ceremony(room, "nobody came") is Outcome.ABORTED_CLEAN
    closed = [line.data["role"] for line in lines(small) if line.data.get("gate") == "close"]
    assert closed == ["internal-witness"]


def test_a_promised_output_that_nothing_made_keeps_it_open(small):
    small.changed(('path = "evidence/bags.json"', 'path = "evidence/other.json"'))
    with pytest.raises(CaError) as refused:
        small.run()
    assert refused.value.rule_ids == ("CEREMONY-OUTPUT",)
    assert "end" not in events(small)
    with small.room() as room:
        assert abort_ceremony(room, "nothing makes it") is Outcome.ABORTED_CLEAN


@pytest.mark.parametrize("name", ["evidence/bags.json", "manifest.json"])
def test_a_file_that_changed_while_it_was_closed_is_an_incident_and_the_close_begins_anew(small, name):
    with pytest.raises(Torn):
        small.run(small.officers(at_signature=7))
    path = small.folder.path(name)
    good = path.read_bytes()
    path.write_bytes(good.replace(b"A-0042", b"A-0043") + b" ")
    with pytest.raises(CaError) as refused:
        small.run()
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)
    assert stop_of(small) == ("F3", ["CEREMONY-FILE-CHANGED"])
    path.write_bytes(good)
    assert small.run() is Outcome.COMPLETED
    assert f"{hashlib.sha256(good).hexdigest()}  {name}\n".encode() in small.folder.read("closing.txt")


def test_a_changed_file_before_the_close_is_found_when_going_on(small):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    gate = next(line for line in lines(small) if line.event is Event.GATE)
    small.folder.path(gate.data["statement"]).write_bytes(b"something else\n")
    with pytest.raises(CaError) as refused:
        small.run()
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)
    assert stop_of(small) == ("F3", ["CEREMONY-FILE-CHANGED"])


def test_another_script_in_the_folder_is_not_gone_on_with(small):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    small.changed(("max_hours = 4", "max_hours = 72"))
    with pytest.raises(CaError) as refused:
        small.run()
    assert refused.value.rule_ids == ("CEREMONY-SCRIPT-CHANGED",)
    assert stop_of(small)[0] == "F3"


def test_a_clock_that_went_back_is_an_incident(small):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    small.clock.time -= timedelta(days=1)
    with pytest.raises(CaError) as refused:
        small.run()
    assert refused.value.rule_ids == ("CEREMONY-CLOCK",)
    assert stop_of(small) == ("F3", ["CEREMONY-CLOCK"])


def test_the_bundle_has_the_same_bytes_whenever_it_is_packed(small):
    with small.room() as room:
        run_ceremony(room)
        first = pack_bundle(room)
        data = small.folder.bundle.read_bytes()
    with small.room() as room:
        assert pack_bundle(room) == first
    assert small.folder.bundle.read_bytes() == data
    assert unpack(data) == small.folder.everything()
