"""Signed notes and their keys, against the vectors of Go's implementation and of C2SP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca_server.core.audit.note import (
    MAX_SIGNATURES,
    make_verifier_key,
    open_note,
    parse_verifier_key,
    sign_note,
)
from ca_server.core.errors import CaError

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/signed-note.json").read_text())
PETER = parse_verifier_key(VECTORS["vkeys"]["PeterNeumann"])
ENOCH = parse_verifier_key(VECTORS["vkeys"]["EnochRoot"])
TEXT = VECTORS["text"]
PETER_LINE = VECTORS["signatures"]["PeterNeumann"]
ENOCH_LINE = VECTORS["signatures"]["EnochRoot"]


def rule_of(function, *arguments) -> str:
    with pytest.raises(CaError) as caught:
        function(*arguments)
    return caught.value.rule_ids[0]


def test_published_note():
    opened = open_note(f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode(), [PETER, ENOCH])
    assert opened.text == TEXT.encode()
    assert opened.signed_by == (PETER, ENOCH)


def test_lines_of_unknown_keys_are_ignored():
    opened = open_note(f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode(), [PETER])
    assert opened.signed_by == (PETER,)
    grease = "— PeterNeumann AAAAAGdyZWFzZQ==\n— example.com/other x08go2dyZWFzZQ==\n"
    assert open_note(f"{TEXT}\n{grease}{PETER_LINE}".encode(), [PETER]).signed_by == (PETER,)


def test_repeated_lines_count_once():
    assert open_note(f"{TEXT}\n{PETER_LINE}{PETER_LINE}".encode(), [PETER]).signed_by == (PETER,)


def test_the_last_empty_line_parts_text_and_signatures():
    text, _, _ = VECTORS["poem"].rpartition("\n\n")
    assert "\n\n" in text
    assert rule_of(open_note, VECTORS["poem"].encode(), [PETER]) == "AUDIT-SIGNATURE"


@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        TEXT + "\n",
        TEXT + "\n" + PETER_LINE[:-1],
        "\x01" + TEXT + "\n" + PETER_LINE,
        TEXT + "\r\n" + PETER_LINE,
        TEXT + "\n— Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZI=\n",
        TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
        TEXT + "\n" + PETER_LINE.replace("— ", "- "),
        TEXT + "\n" + PETER_LINE.replace("nAM=", "nAN="),
        TEXT + "\n" + PETER_LINE.replace("nAM=", "nAM"),
        TEXT + "\n— PeterNeumann x08gow==\n",
        TEXT + "\n" + PETER_LINE * (MAX_SIGNATURES + 1),
        TEXT * 4000 + "\n" + PETER_LINE,
        "",
    ],
)
def test_malformed_notes_are_refused(note):
    assert rule_of(open_note, note.encode(), [PETER]) == "AUDIT-NOTE"


def test_notes_that_are_not_utf_8_are_refused():
    assert rule_of(open_note, b"\xff" + f"{TEXT}\n{PETER_LINE}".encode(), [PETER]) == "AUDIT-NOTE"


def test_sixteen_signatures_are_read():
    """C2SP signed-note: verifiers must accept at least sixteen."""
    others = "".join(f"— witness{number}.example AAAAAGdyZWFzZQ==\n" for number in range(15))
    assert open_note(f"{TEXT}\n{others}{PETER_LINE}".encode(), [PETER]).signed_by == (PETER,)


def test_a_wrong_signature_of_a_known_key_refuses_the_whole_note():
    wrong = PETER_LINE.replace("/ZJk", "/ZJl")
    for lines in (wrong, wrong + ENOCH_LINE, ENOCH_LINE + wrong, PETER_LINE + wrong):
        assert rule_of(open_note, f"{TEXT}\n{lines}".encode(), [PETER, ENOCH]) == "AUDIT-SIGNATURE"


def test_another_text_is_refused():
    note = f"{TEXT.replace('cryptography', 'astrology')}\n{PETER_LINE}".encode()
    assert rule_of(open_note, note, [PETER]) == "AUDIT-SIGNATURE"


def test_no_trusted_key_refuses():
    assert rule_of(open_note, f"{TEXT}\n{PETER_LINE}".encode(), []) == "AUDIT-SIGNATURE"


@pytest.mark.parametrize("vkey", VECTORS["vkeys"].values())
def test_published_keys(vkey):
    assert str(parse_verifier_key(vkey)) == vkey
    assert str(parse_verifier_key(f"{vkey}\n")) == vkey


def test_any_change_of_a_published_key_is_refused():
    vkey = VECTORS["vkeys"]["PeterNeumann"]
    parts = {
        vkey[start:end]
        for start in range(len(vkey))
        for end in range(start + 1, len(vkey) + 1)
        if end - start < len(vkey)
    }
    changed = {vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))}
    for bad in parts | changed | set(VECTORS["bad_vkeys"]):
        assert rule_of(parse_verifier_key, bad) == "AUDIT-VKEY"


def test_keys_of_other_types_and_names_are_refused():
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    for key in (rsa_key, p384, "key"):
        with pytest.raises(ValueError, match="Ed25519 or ECDSA P-256"):
            make_verifier_key("example.com/log", key)
    for name in ("", "a b", "a+b", "a\u00a0b", "a\nb", "a\x01b"):
        with pytest.raises(ValueError, match="no name"):
            make_verifier_key(name, ed25519.Ed25519PrivateKey.generate().public_key())


def test_ed25519_and_ecdsa_sign_and_verify():
    text = b"example.com/log\n0\nroot\n"
    edwards = ed25519.Ed25519PrivateKey.generate()
    curve = ec.generate_private_key(ec.SECP256R1())
    for private, signature in (
        (edwards, edwards.sign(text)),
        (curve, curve.sign(text, ec.ECDSA(hashes.SHA256()))),
    ):
        key = make_verifier_key("example.com/log", private.public_key())
        assert parse_verifier_key(str(key)) == key
        note = sign_note(text, key, signature)
        assert open_note(note, [key]).text == text
        assert rule_of(sign_note, text + b"x", key, signature) == "AUDIT-SIGNATURE"
