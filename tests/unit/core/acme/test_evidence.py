"""Evidence stays small and shows nothing raw, whatever others send."""

from __future__ import annotations

import json

import pytest

from ca_server.core.acme.evidence import MAX_BYTES, Evidence, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        (b"\x1b[31m\xff\x00", "?[31m??"),
        ("caf\u00e9\n", "caf??"),
        ("x" * 101, "x" * 100 + "..."),
    ],
)
def test_what_others_sent_is_shown_without_control_characters_and_short(text, shown):
    assert printable(text) == shown


def test_notes_keep_their_order_and_leave_out_what_is_not_there():
    evidence = Evidence()
    evidence.note("dns", question="A x.example", answer=["10.0.0.1"], error=None)
    evidence.note("http", status=200)
    assert evidence.as_data() == {
        "notes": [
            {"step": "dns", "question": "A x.example", "answer": ["10.0.0.1"]},
            {"step": "http", "status": 200},
        ]
    }


def test_evidence_is_bounded_and_keeps_how_it_began_and_how_it_ended():
    evidence = Evidence()
    for number in range(300):
        evidence.note("dns", number=number, answer=["\x00" * 900] * 900, question="y" * 900)
    data = evidence.as_data()
    assert len(json.dumps(data, separators=(",", ":"))) <= MAX_BYTES
    numbers = [each["number"] for each in data["notes"]]
    assert (numbers[0], numbers[-1]) == (0, 299)
    assert data["left_out"] == 300 - len(numbers)
    assert data["notes"][0]["answer"][-1] == "and 892 more"
