"""What a transcript says of its ceremony, and of which class a failure is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ca_server.core.ceremony.transcript import Line, Outcome, make_line, parse_line
from ca_server.core.errors import CaError, Kind, Violation
from ceremony.attendance import attendance, ever_present
from ceremony.failure import ADVICE, Failure, failure_of
from ceremony.state import begun, digests, done_steps, ended
from tests.fixtures.small_ceremony import NOON

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def transcript(*events: tuple[str, str, dict[str, Any]]) -> list[Line]:
    """Lines of event, step and data; line 0 is the opening."""
    lines: list[Line] = []
    opening = ("opened", "-", {"script_sha256": A, "roster_sha256": B, "inputs": {"root-r1": C}})
    for seq, (event, step, data) in enumerate((opening, *events)):
        line = make_line(
            seq=seq,
            prev=lines[-1].digest if lines else A,
            utc=NOON + timedelta(seconds=seq),
            mono_ms=seq,
            step=step,
            event=event,
            actor="engine",
            data=data,
        )
        lines.append(parse_line(line.rstrip(b"\n")))
    return lines


def gate(name: str, person: str, role: str) -> tuple[str, str, dict[str, Any]]:
    files = {
        "statement": f"gates/{person}.txt",
        "statement_sha256": C,
        "signature": f"gates/{person}.txt.sig",
    }
    return "gate", "open", {"gate": name, "person": person, "role": role, **files, "signature_sha256": D}


def test_a_step_is_done_once_it_says_so_however_often_it_was_begun():
    lines = transcript(
        ("begin", "sign", {"attempt": 1}), ("begin", "sign", {"attempt": 2}), ("done", "lint", {"files": {}})
    )
    assert [line.data["attempt"] for line in begun(lines, "sign")] == [1, 2]
    assert done_steps(lines) == {"lint"}
    assert ended(lines) is None


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.SUSPENDED])
def test_how_it_ended(outcome):
    assert ended(transcript(("end", "close", {"outcome": outcome}))) is outcome


def test_of_a_file_that_was_made_again_the_newest_digest_counts():
    lines = transcript(
        ("done", "bags", {"files": {"evidence/bags.json": A}}),
        gate("open", "ada", "administrator"),
        ("done", "bags", {"files": {"evidence/bags.json": D}}),
    )
    assert digests(lines) == {
        "script.toml": A,
        "roster.json": B,
        "inputs/root-r1": C,
        "evidence/bags.json": D,
        "gates/ada.txt": C,
        "gates/ada.txt.sig": D,
    }


def test_present_is_who_signed_the_opening_or_the_last_resumption():
    opening = [gate("open", "ada", "administrator"), gate("open", "bob", "key-officer")]
    approved = gate("approve", "cy", "key-officer")
    assert attendance(transcript(*opening, approved)) == (("ada", "administrator"), ("bob", "key-officer"))
    resumed = transcript(*opening, ("resume", "-", {"found": {}}), gate("resume", "dan", "administrator"))
    assert attendance(resumed) == (("dan", "administrator"),)
    # Who must differ must have done so all along.
    assert ever_present(resumed) == (
        ("ada", "administrator"),
        ("bob", "key-officer"),
        ("dan", "administrator"),
    )


def test_nobody_is_there_before_the_opening():
    assert attendance(transcript()) == ()


def error(*rule_ids: str) -> CaError:
    violations = tuple(Violation(rule_id, "wrong") for rule_id in rule_ids)
    return CaError(Kind.CONFLICT, "wrong", violations=violations)


@pytest.mark.parametrize(
    ("rule_ids", "effect_open", "failure"),
    [
        ((), False, Failure.NOTHING_DONE),
        (("CEREMONY-OUTPUT",), False, Failure.NOTHING_DONE),
        (("CEREMONY-OUTPUT",), True, Failure.UNCERTAIN),
        (("CEREMONY-FILE-CHANGED",), True, Failure.UNCERTAIN),
        (("CEREMONY-FILE-CHANGED",), False, Failure.INTEGRITY),
        (("CEREMONY-OUTPUT", "CEREMONY-QUORUM"), False, Failure.INTEGRITY),
        (("CEREMONY-CLOCK",), False, Failure.INTEGRITY),
    ],
)
def test_what_a_token_may_have_done_comes_first_then_what_shows_that_something_is_amiss(
    rule_ids, effect_open, failure
):
    assert failure_of(error(*rule_ids), effect_open=effect_open) is failure


def test_every_class_tells_people_what_to_do():
    assert ADVICE.keys() == set(Failure)
