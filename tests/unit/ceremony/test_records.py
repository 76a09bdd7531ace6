"""Records of shares and backups, papers and facts: what is one, and what is refused with a rule."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.errors import CaError
from ceremony.backups import parse_backup, wrapping_label
from ceremony.custody import parse_record
from ceremony.folder import Folder
from ceremony.papers import paper_path, show_paper
from ceremony.steps.record import FORMS, Fact

BLOB = b"wrapped"
SPKI = (
    ec.generate_private_key(ec.SECP384R1())
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
SHARES = {
    "format": "ceremony-shares/v1",
    "ceremony": "hsm-init",
    "set": "vault-user",
    "identifier": 7,
    "threshold": 2,
    "shares": {"ada": "a" * 64, "bob": "b" * 64},
}
BACKUP = {
    "format": "ceremony-backup/v1",
    "ceremony": "key-backup",
    "label": "root-r2",
    "id": "ab" * 16,
    "type": "ec-p384",
    "spki": SPKI.hex(),
    "wrapping": "aes-256-kwp",
    "wrapped_sha256": hashlib.sha256(BLOB).hexdigest(),
    "check_value": "abcdef",
    "shares": "root-r2-backup",
}


def rules(call) -> tuple[str, ...]:
    with pytest.raises(CaError) as caught:
        call()
    return caught.value.rule_ids


def test_a_record_of_shares_says_who_has_which():
    assert parse_record(json.dumps(SHARES).encode(), "x").shares == SHARES["shares"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "ceremony-shares/v2"},
        {"identifier": 1 << 15},
        {"threshold": 1},
        {"shares": {"ada": "a" * 64}},
        {"shares": {"Ada": "a" * 64, "bob": "b" * 64}},
        {"shares": {"ada": "A" * 64, "bob": "b" * 64}},
        {"words": "academic"},
    ],
)
def test_what_is_no_record_of_shares_is_refused(change):
    data = json.dumps({**SHARES, **change}).encode()
    assert rules(lambda: parse_record(data, "x")) == ("CEREMONY-SHARES",)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(data):
    assert rules(lambda: parse_record(data, "x")) == ("CEREMONY-SHARES",)
    assert rules(lambda: parse_backup(data, "x", BLOB)) == ("CEREMONY-BACKUP",)


def test_a_record_that_is_too_long_is_cut_before_it_is_read():
    data = json.dumps(SHARES).encode() + b" " * (64 * 1024)
    assert parse_record(data, "x").set == "vault-user"
    assert rules(lambda: parse_record(b" " * (64 * 1024) + json.dumps(SHARES).encode(), "x")) == (
        "CEREMONY-SHARES",
    )


def test_a_record_of_a_backup_knows_its_key():
    record = parse_backup(json.dumps(BACKUP).encode(), "x", BLOB)
    assert record.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == SPKI


@pytest.mark.parametrize(
    "change", [{"type": "ec-p521x"}, {"spki": "ab"[:1]}, {"check_value": "abcdefab"}, {"kek": "00"}]
)
def test_what_is_no_record_of_a_backup_is_refused(change):
    data = json.dumps({**BACKUP, **change}).encode()
    assert rules(lambda: parse_backup(data, "x", BLOB)) == ("CEREMONY-BACKUP",)


def test_a_blob_belongs_to_its_record():
    data = json.dumps(BACKUP).encode()
    assert rules(lambda: parse_backup(data, "x", b"other")) == ("CEREMONY-BACKUP",)


@pytest.mark.parametrize("change", [{"spki": "3000"}, {"type": "ec-p256"}])
def test_the_public_key_of_a_backup_is_one_of_its_type(change):
    record = parse_backup(json.dumps({**BACKUP, **change}).encode(), "x", BLOB)
    assert rules(lambda: record.public_key) == ("CEREMONY-BACKUP",)


@given(st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", fullmatch=True))
def test_a_wrapping_keys_label_fits_every_token(step):
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", wrapping_label(step))


def test_a_paper_is_found_in_either_form(tmp_path):
    folder = Folder(tmp_path)
    folder.write("papers/order.txt", b"stop")
    folder.write("papers/new-roster.json", b"{}")
    assert paper_path(folder, "order") == "papers/order.txt"
    assert paper_path(folder, "new-roster") == "papers/new-roster.json"
    assert rules(lambda: paper_path(folder, "absent")) == ("CEREMONY-REFERENCE",)


def test_of_a_long_paper_the_beginning_is_shown():
    assert show_paper("papers/a.txt", b"short") == "short"
    shown = show_paper("papers/a.txt", b"a" * 33_000)
    assert shown.endswith("a\n... and 232 more characters: read the file")


def test_a_paper_in_json_is_shown_a_fact_a_line_and_no_value_makes_one():
    data = '{"names":["Ada","B\u2028\\nowner: Mallory"],"sequence":2}'.encode()
    assert show_paper("papers/a.json", data).splitlines() == [
        "{",
        '  "names": [',
        '    "Ada",',
        r'    "B\u2028\nowner: Mallory"',
        "  ],",
        '  "sequence": 2',
        "}",
    ]


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_of_a_fact_takes_its_own_example(form):
    question = Fact.model_validate({"name": "bag", "ask": "Number of the bag", "form": form}).question()
    assert re.fullmatch(question.pattern, question.example)
    assert not re.fullmatch(question.pattern, f"{question.example}\n")


def test_a_time_is_asked_for_in_utc():
    pattern, _, example = FORMS["time"]
    assert datetime.strptime(example, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).year == 2027
    assert not re.fullmatch(pattern, "2027-03-01 12:00")
