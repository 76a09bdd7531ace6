"""What was done to a folder while nobody was at it: each is found before anything is built on it.

Whoever has the folder can write its newest lines anew, as nobody has signed them yet: the chain alone proves
nothing. What proves it are the statements.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import rfc8785

from ca_server.core.ceremony.statement import Gate, parse_statement
from ca_server.core.ceremony.transcript import Event, Outcome, parse_transcript
from ca_server.core.ceremony.verify import verify_bundle
from ca_server.core.errors import CaError
from ceremony.close import pack_bundle
from ceremony.engine import abort_ceremony
from ceremony.folder import TRANSCRIPT
from ceremony.independent import run_independent
from ceremony.people import Paused
from tests.fixtures.small_ceremony import SmallCeremony, Torn

# Four signatures open, four close.
AT_THE_CLOSE, AT_ITS_SECOND = 5, 6


def cut_off(small: SmallCeremony, at_signature: int) -> None:
    with pytest.raises(Torn):
        small.run(small.officers(at_signature=at_signature))


def stored(small: SmallCeremony) -> list[dict]:
    return [json.loads(line) for line in small.folder.read(TRANSCRIPT).splitlines()]


def chained(small: SmallCeremony, lines: list[dict]) -> None:
    """A transcript of these lines, each of which names the one before it."""
    written, prev = b"", lines[0]["data"]["script_sha256"]
    for number, line in enumerate(lines):
        text = rfc8785.dumps({**line, "seq": number, "prev": prev})
        written, prev = written + text + b"\n", hashlib.sha256(text).hexdigest()
    small.folder.path(TRANSCRIPT).write_bytes(written)


def signed_anew(small: SmallCeremony, line: dict, **changes: object) -> None:
    """The statement of a gate line with other words, signed by the same person, in the place of the first."""
    statement = replace(parse_statement(small.folder.read(line["data"]["statement"])), **changes)
    path = small.folder.path(line["data"]["statement"])
    path.write_bytes(statement.text())
    small.officers().sign(statement.person, path, "ceremony-rehearsal@rehearsal.example")
    for part in ("statement", "signature"):
        digest = hashlib.sha256(small.folder.read(line["data"][part])).hexdigest()
        line["data"][f"{part}_sha256"] = digest


def refused(small: SmallCeremony) -> str:
    """The rule that keeps it from going on; nobody was asked for a signature, and nothing was begun."""
    before = len(stored(small))
    with pytest.raises(CaError) as error:
        small.run(small.officers(at_signature=1))
    (stop,) = parse_transcript(small.folder.read(TRANSCRIPT))[before:]
    assert (stop.event, stop.data["failure"]) == (Event.STOPPED, "F3")
    (rule_id,) = error.value.rule_ids
    assert stop.data["rule_ids"] == [rule_id]
    return rule_id


def gates(lines: list[dict]) -> list[dict]:
    return [line for line in lines if line["event"] == Event.GATE]


@pytest.mark.parametrize(
    "changes",
    [
        {"ceremony": "some-other-ceremony"},
        {"script_sha256": "0" * 64},
        {"step": "bags"},
        {"gate": Gate.PAUSE},
        {"transcript_sha256": "1" * 64},
        {"transcript_sequence": 0},
        {"subject": "evidence/bags.json", "subject_sha256": "2" * 64},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_statement_that_says_something_else_than_its_line_is_found(small, changes):
    cut_off(small, AT_THE_CLOSE)
    lines = stored(small)
    signed_anew(small, gates(lines)[-1], **changes)
    chained(small, lines)
    assert refused(small) == "CEREMONY-GATE"


def test_a_signature_of_before_is_not_taken_for_another_one(small):
    cut_off(small, AT_THE_CLOSE)
    lines = stored(small)
    one, other = gates(lines)[-2:]
    other["data"] = {**one["data"], "person": other["data"]["person"], "role": other["data"]["role"]}
    chained(small, lines)
    assert refused(small) == "CEREMONY-GATE"


@pytest.mark.parametrize("at_signature", [AT_THE_CLOSE, AT_ITS_SECOND])
def test_a_witness_who_was_taken_out_is_missed(small, at_signature):
    cut_off(small, at_signature)
    lines = [
        line
        for line in stored(small)
        if not (line["event"] == Event.GATE and line["data"]["role"] == "internal-witness")
    ]
    chained(small, lines)
    assert refused(small) in {"CEREMONY-QUORUM", "CEREMONY-GATE"}


def test_a_step_that_was_never_done_is_missed(small):
    cut_off(small, AT_THE_CLOSE)
    lines = stored(small)
    del lines[next(index for index, line in enumerate(lines) if line["event"] == Event.BEGIN)]
    chained(small, lines)
    assert refused(small) == "CEREMONY-GRAMMAR"


@pytest.mark.parametrize("name", ["manifest.json", "keys.json", "recording.txt"])
def test_what_no_step_made_is_compared_too(small, name):
    cut_off(small, AT_THE_CLOSE)
    small.folder.path(name).write_bytes(b"{}")
    small.folder.remove("closing.txt")
    with pytest.raises(CaError) as error:
        small.run()
    assert error.value.rule_ids == ("CEREMONY-FILE-CHANGED",)


@pytest.mark.parametrize("name", ["manifest.json", "keys.json"])
def test_what_can_be_made_again_is_not_taken_from_the_folder(small, name):
    """Here the newest line is written anew as well."""
    cut_off(small, AT_THE_CLOSE)
    small.folder.path(name).write_bytes(b"{}")
    small.folder.remove("closing.txt")
    lines = stored(small)
    lines[-1]["data"]["intent"]["files"][name] = hashlib.sha256(b"{}").hexdigest()
    lines[-1]["data"]["intent_sha256"] = hashlib.sha256(
        rfc8785.dumps(lines[-1]["data"]["intent"])
    ).hexdigest()
    chained(small, lines)
    with pytest.raises(CaError) as error:
        small.run()
    assert error.value.rule_ids == ("CEREMONY-FILE-CHANGED",)


@pytest.mark.parametrize(
    "change",
    [(b"outcome: completed", b"outcome: completed-with-deviations"), (b"person: internal-witness", None)],
    ids=["outcome", "person"],
)
def test_a_closing_statement_of_somebody_else_is_not_signed(small, change):
    cut_off(small, AT_THE_CLOSE)
    old, new = change
    text = small.folder.read("closing.txt")
    kept = text.replace(old, new) if new else b"\n".join(x for x in text.split(b"\n") if old not in x)
    assert kept != text
    small.folder.path("closing.txt").write_bytes(kept)
    with pytest.raises(CaError) as error:
        small.run()
    assert error.value.rule_ids == ("CEREMONY-FILE-CHANGED",)


def test_another_host_file_is_not_gone_on_with_and_other_places_are(small, monkeypatch, tmp_path):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    same = small.host
    other = same.model_copy(update={"allow_software_token": True})
    monkeypatch.setattr(SmallCeremony, "host", property(lambda _: other))
    assert refused(small) == "CEREMONY-HOST-CHANGED"
    moved = same.model_copy(update={"media": (tmp_path,)})
    monkeypatch.setattr(SmallCeremony, "host", property(lambda _: moved))
    assert small.run() is Outcome.COMPLETED


def abort(small: SmallCeremony) -> Outcome:
    with small.room() as room:
        return abort_ceremony(room, "the light went out")


def go_on(small: SmallCeremony) -> Outcome:
    return small.run()


@pytest.mark.parametrize(
    ("number", "end"), [*((each, abort) for each in (1, 3, 5, 6, 8)), (2, go_on), (7, go_on)]
)
def test_whenever_it_is_cut_off_both_verifiers_take_what_comes_of_it(
    small, number: int, end: Callable[[SmallCeremony], Outcome]
):
    cut_off(small, number)
    # A signature that lies there, and that no line names, does not count.
    statement = max(small.folder.path("gates").glob("*.txt"), key=lambda path: path.stat().st_mtime_ns)
    statement.with_name(f"{statement.name}.sig").write_bytes(b"half of one")
    outcome = end(small)
    check_bundle(small, outcome)


@pytest.mark.parametrize("number", range(1, 5))
def test_an_abort_after_a_resumption_that_was_cut_off_verifies(small, number):
    with pytest.raises(Paused):
        small.run(small.officers(at_answer=[Paused()]))
    cut_off(small, number)
    check_bundle(small, abort(small))


def check_bundle(small: SmallCeremony, outcome: Outcome) -> None:
    with small.room() as room:
        pack_bundle(room)
    assert verify_bundle(small.folder.bundle.read_bytes()).bundle.closing.outcome is outcome
    code, words = run_independent(small.folder.bundle, None)
    assert code == 0, words
    named = {line["data"].get("statement") for line in stored(small)}
    assert {name for name in small.folder.names() if name.endswith(".txt") and "gates/" in name} <= named


def test_what_no_receiver_would_take_is_not_completed(small):
    """The script promises nothing; a file where products lie would be installed by nobody."""
    cut_off(small, AT_THE_CLOSE)
    lines = stored(small)
    small.folder.write("crls/root-r1.crl", b"no list")
    small.folder.remove("closing.txt")
    done = [line for line in lines if line["event"] == Event.DONE][-1]
    done["data"]["files"]["crls/root-r1.crl"] = hashlib.sha256(b"no list").hexdigest()
    chained(small, lines)
    with pytest.raises(CaError) as error:
        small.run()
    assert error.value.rule_ids == ("BUNDLE-FILES",)
    last = parse_transcript(small.folder.read(TRANSCRIPT))[-1]
    assert (last.event, last.data["failure"]) == (Event.STOPPED, "F3")
