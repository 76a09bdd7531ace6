"""What is laid into a ceremony's folder while nobody looks: not carried out, and not written over."""

from __future__ import annotations

import pytest

from ca_server.core.archive import unpack
from ca_server.core.ceremony.transcript import Event, Outcome, parse_transcript
from ca_server.core.errors import CaError
from ceremony.close import pack_bundle
from ceremony.engine import abort_ceremony
from ceremony.folder import TRANSCRIPT
from ceremony.people import Paused
from tests.fixtures.small_ceremony import SmallCeremony, Torn

PIN = b"the PIN of a token"


@pytest.fixture
def paused(small) -> SmallCeremony:
    """A ceremony that people left for a night."""
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    (small.place / "pin").write_bytes(PIN)
    return small


def stopped(small: SmallCeremony) -> tuple[str, list[str], str]:
    with pytest.raises(CaError):
        small.run()
    last = parse_transcript(small.folder.read(TRANSCRIPT))[-1]
    assert last.event is Event.STOPPED
    return last.data["failure"], last.data["rule_ids"], last.data["detail"]


@pytest.mark.parametrize("name", ["evidence/pin.txt", "gates.txt", "tbs/Ä.tbs"])
@pytest.mark.parametrize("link", [True, False])
def test_nothing_is_packed_that_no_line_names(paused, name, link):
    place = paused.folder.path(name)
    place.parent.mkdir(exist_ok=True)
    if link:
        place.symlink_to("../../pin")
    else:
        place.write_bytes(PIN)
    failure, rules, detail = stopped(paused)
    assert (failure, rules) == ("F3", ["CEREMONY-FILE-UNKNOWN"])
    assert (name if name.isascii() else r"\xc4") in detail
    place.unlink()
    assert paused.run() is Outcome.COMPLETED


def test_a_link_in_the_place_of_a_named_file_is_not_followed(paused):
    place = paused.folder.path("roster.json")
    (paused.place / "copy").write_bytes(place.read_bytes())
    place.unlink()
    place.symlink_to("../copy")
    with pytest.raises(CaError) as refused:
        paused.run()
    assert refused.value.rule_ids == ("CEREMONY-FILE-CHANGED",)


def test_a_statement_that_nobody_signed_is_in_no_bundle(small):
    with pytest.raises(Torn):
        small.run(small.officers(at_signature=6))
    loose = small.folder.path("gates/0099-close-auditor-nobody.txt")
    loose.symlink_to("../../pin")
    assert small.run() is Outcome.COMPLETED
    with small.room() as room:
        pack_bundle(room)
    files = unpack(small.folder.bundle.read_bytes())
    assert PIN not in files.values()
    named = {
        line.data[part]
        for line in parse_transcript(small.folder.read(TRANSCRIPT))
        if line.event is Event.GATE
        for part in ("statement", "signature")
    }
    assert {name for name in files if name.startswith("gates/")} == named


def test_what_an_unfinished_step_left_is_in_no_bundle_of_a_ceremony_that_was_ended(paused):
    paused.folder.write("evidence/bags.json", b"{}")
    with paused.room() as room:
        assert abort_ceremony(room, "enough") is Outcome.ABORTED_CLEAN
        pack_bundle(room)
    assert "evidence/bags.json" not in unpack(paused.folder.bundle.read_bytes())


def test_a_bundle_is_not_written_through_a_link(small):
    (small.place).mkdir()
    (small.place / "pin").write_bytes(PIN)
    small.folder.bundle.symlink_to("pin")
    with small.room() as room:
        abort_ceremony(room, "not today")
        pack_bundle(room)
    assert (small.place / "pin").read_bytes() == PIN
    assert not small.folder.bundle.is_symlink()
    assert "closing.txt" in unpack(small.folder.bundle.read_bytes())
