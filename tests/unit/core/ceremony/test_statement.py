"""A statement has one text, and only that text is a statement."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.statement import Gate, Statement, parse_statement
from ca_server.core.errors import CaError, Kind

STATEMENT = Statement(
    ceremony="root-r1-2027",
    kind="root-generate",
    mode="production",
    gate=Gate.APPROVE,
    step="s80",
    script_sha256="a" * 64,
    roster_sha256="b" * 64,
    subject="tbs/root-r1.tbs",
    subject_sha256="c" * 64,
    transcript_sequence=12,
    transcript_sha256="d" * 64,
    person="ada",
    role=RoleName.KEY_OFFICER,
    nonce="0123456789abcdef" * 2,
    time=datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC),
)
TEXT = f"""\
sealkeeper ceremony statement v1
ceremony: root-r1-2027
kind: root-generate
mode: production
gate: approve
step: s80
script-sha256: {"a" * 64}
roster-sha256: {"b" * 64}
subject: tbs/root-r1.tbs
subject-sha256: {"c" * 64}
transcript-sequence: 12
transcript-sha256: {"d" * 64}
person: ada
role: key-officer
nonce: 0123456789abcdef0123456789abcdef
time: 2027-03-01T12:00:00Z
""".encode()


def test_the_text_and_its_place():
    assert STATEMENT.text() == TEXT
    assert parse_statement(TEXT) == STATEMENT
    assert STATEMENT.path() == "gates/0012-approve-key-officer-ada.txt"
    assert replace(STATEMENT, transcript_sequence=12345).path() == "gates/12345-approve-key-officer-ada.txt"


@pytest.mark.parametrize(
    "changes",
    [
        *({"gate": gate} for gate in Gate),
        *({"role": role} for role in RoleName),
        {"mode": "rehearsal"},
        {"step": "-"},
        {"subject": "-", "subject_sha256": "-"},
        {"subject": "closing.txt"},
        {"transcript_sequence": 0},
    ],
)
def test_every_statement_comes_back(changes):
    statement = replace(STATEMENT, **changes)
    assert parse_statement(statement.text()) == statement


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"statement v1", b"statement v2"),
        (b"\n", b"\r\n"),
        (b"mode: production", b"mode: Production"),
        (b"mode: production", b"mode:  production"),
        (b"mode: production", b"mode: production "),
        (b"mode: production\n", b""),
        (b"mode: production\n", b"mode: production\nmode: production\n"),
        (b"mode: production\ngate: approve", b"gate: approve\nmode: production"),
        (b"gate: approve", b"gate: approved"),
        (b"ceremony: root-r1-2027", b"ceremony: Root"),
        (b"ceremony: root-r1-2027", b"ceremony: " + b"x" * 65),
        (b"ceremony: root-r1-2027", b"ceremony: "),
        (b"step: s80", b"step: s 80"),
        (b"a" * 64, b"A" * 64),
        (b"a" * 64, b"a" * 63),
        (b"tbs/root-r1.tbs", b"../root-r1.tbs"),
        (b"tbs/root-r1.tbs", b"/tbs/root-r1.tbs"),
        (b"tbs/root-r1.tbs", b"tbs//root-r1.tbs"),
        (b"tbs/root-r1.tbs", b"tbs/"),
        (b"tbs/root-r1.tbs", b"x" * 201),
        (b"tbs/root-r1.tbs", b"-"),
        (b"c" * 64, b"-"),
        (b"sequence: 12", b"sequence: 012"),
        (b"sequence: 12", b"sequence: -1"),
        (b"sequence: 12", b"sequence: 1234567890"),
        (b"sequence: 12", "sequence: \u0661".encode()),
        (b"person: ada", b"person: *"),
        (b"person: ada", "person: \u0430da".encode()),
        (b"role: key-officer", b"role: officer"),
        (b"0123456789abcdef\n", b"0123456789abcde\n"),
        (b"12:00:00Z", b"12:00:00.0Z"),
        (b"12:00:00Z", b"12:00:00+00:00"),
        (b"12:00:00Z", b"12:00:60Z"),
        (b"2027-03-01T", b"2027-02-29T"),
        (b"2027-03-01T", b"2027-03-01t"),
        (b"12:00:00Z\n", b"12:00:00Z"),
        (b"12:00:00Z\n", b"12:00:00Z\n\n"),
        (b"12:00:00Z\n", b"12:00:00Z\nnote: x\n"),
        (b"sealkeeper", b"\xef\xbb\xbfsealkeeper"),
        (b"sealkeeper", b"\nsealkeeper"),
        (b"sealkeeper", b"\xff"),
        (b"sealkeeper", b"x" * 4096 + b"sealkeeper"),
    ],
)
def test_every_other_text_is_refused(old, new):
    changed = TEXT.replace(old, new)
    assert changed != TEXT
    with pytest.raises(CaError) as caught:
        parse_statement(changed)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.MALFORMED, ("CEREMONY-STATEMENT",))
