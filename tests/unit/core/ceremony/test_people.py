"""A signed statement counts when it is of this roster and mode, and by a key of its person fit for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.people import check_key_signature, check_signature
from ca_server.core.ceremony.roster import parse_roster
from ca_server.core.ceremony.sshsig import SignatureFlags
from ca_server.core.ceremony.statement import Gate, Statement
from ca_server.core.errors import CaError
from tests.fixtures.rosters import key_entry, person_entry, roster_bytes, software_key
from tests.fixtures.ssh_signatures import SoftwareKey, TokenKey

PRACTICE = software_key()
TOKEN = TokenKey(ed25519.Ed25519PrivateKey.generate())
WEB = TokenKey(application="example.com")
CARD = SoftwareKey(ec.generate_private_key(ec.SECP384R1()))
OLD_CARD = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
BOB = TokenKey()
ROSTER = parse_roster(
    roster_bytes(
        person_entry(
            "ada",
            key_entry(PRACTICE),
            key_entry(TOKEN),
            key_entry(WEB),
            key_entry(CARD, kept_in="smartcard", use="production"),
            key_entry(OLD_CARD, kept_in="smartcard", use="production", valid_until="2027-03-01T11:59:59Z"),
        ),
        person_entry("bob", key_entry(BOB)),
    )
)
NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
STATEMENT = Statement(
    ceremony="root-r1-2027",
    kind="root-generate",
    mode="production",
    gate=Gate.OPEN,
    step="-",
    script_sha256="a" * 64,
    roster_sha256=ROSTER.sha256,
    subject="-",
    subject_sha256="-",
    transcript_sequence=0,
    transcript_sha256="d" * 64,
    person="ada",
    role=RoleName.KEY_OFFICER,
    nonce="0" * 32,
    time=NOON,
)
PRODUCTION, REHEARSAL = "ceremony@example.com", "ceremony-rehearsal@example.com"


def rehearsed(**changes):
    return replace(STATEMENT, mode="rehearsal", **changes)


def check(statement, key, namespace=PRODUCTION, mode="production", moment=NOON):
    text = statement.text()
    return check_signature(text, key.sign(text, namespace), ROSTER, mode, moment)


def refused(statement, key, **how) -> tuple[str, ...]:
    with pytest.raises(CaError) as caught:
        check(statement, key, **how)
    return caught.value.rule_ids


@pytest.mark.parametrize("key", [TOKEN, CARD], ids=["token", "card"])
def test_who_signed_what_with_which_key(key):
    signed = check(STATEMENT, key)
    assert (signed.statement, signed.person, signed.role) == (STATEMENT, "ada", RoleName.KEY_OFFICER)
    assert signed.key_sha256 in {each.public_key.sha256 for each in ROSTER.person("ada").keys}
    is_token = key is TOKEN
    assert signed.flags == SignatureFlags(is_token, is_token, is_token, 7 if is_token else 0)


def test_a_browser_s_signature_counts_too():
    text = STATEMENT.text()
    assert check_signature(text, WEB.sign_in_browser(text, PRODUCTION), ROSTER, "production", NOON).flags.pin


@pytest.mark.parametrize("key", [PRACTICE, TOKEN, CARD], ids=["practice", "token", "card"])
def test_one_rehearses_with_practice_keys_and_with_real_ones(key):
    assert check(rehearsed(), key, namespace=REHEARSAL, mode="rehearsal").person == "ada"


def test_rehearsals_and_production_stay_apart():
    assert refused(rehearsed(), TOKEN, namespace=REHEARSAL) == ("CEREMONY-MODE",)
    assert refused(rehearsed(), TOKEN, namespace=PRODUCTION) == ("CEREMONY-MODE",)
    assert refused(STATEMENT, TOKEN, namespace=REHEARSAL, mode="rehearsal") == ("CEREMONY-MODE",)
    assert refused(STATEMENT, TOKEN, namespace=REHEARSAL) == ("CEREMONY-NAMESPACE",)
    assert refused(STATEMENT, PRACTICE) == ("CEREMONY-KEY-USE",)


@pytest.mark.parametrize("namespace", ["file", "git", "ceremony@example.org", "ceremony@example.com "])
def test_a_signature_for_another_use(namespace):
    assert refused(STATEMENT, TOKEN, namespace=namespace) == ("CEREMONY-NAMESPACE",)


def test_a_key_whose_time_is_over():
    assert refused(STATEMENT, OLD_CARD) == ("CEREMONY-KEY-EXPIRED",)
    before = datetime(2027, 3, 1, 11, 59, 59, tzinfo=UTC)
    assert check(STATEMENT, OLD_CARD, moment=before).person == "ada"


def test_somebody_else_s_key_and_nobody_s():
    assert refused(STATEMENT, BOB) == ("CEREMONY-SIGNATURE",)
    assert refused(STATEMENT, TokenKey()) == ("CEREMONY-SIGNATURE",)
    assert refused(replace(STATEMENT, person="eve"), TOKEN) == ("CEREMONY-PERSON",)


def test_a_statement_of_another_roster():
    assert refused(replace(STATEMENT, roster_sha256="0" * 64), TOKEN) == ("CEREMONY-STATEMENT",)


def test_a_signature_over_another_statement():
    other = replace(STATEMENT, nonce="1" * 32).text()
    with pytest.raises(CaError) as caught:
        check_signature(STATEMENT.text(), TOKEN.sign(other, PRODUCTION), ROSTER, "production", NOON)
    assert caught.value.rule_ids == ("CEREMONY-SIGNATURE",)
    with pytest.raises(CaError) as caught:
        check_signature(other + b"\n", TOKEN.sign(other + b"\n", PRODUCTION), ROSTER, "production", NOON)
    assert caught.value.rule_ids == ("CEREMONY-STATEMENT",)


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x04])
@pytest.mark.parametrize("mode", ["production", "rehearsal"])
def test_a_token_without_touch_or_pin(mode, flags):
    token = TokenKey(TOKEN.private, flags=flags)
    statement = STATEMENT if mode == "production" else rehearsed()
    assert refused(statement, token, namespace=ROSTER.namespace(mode), mode=mode) == ("CEREMONY-SK-FLAGS",)


def test_other_texts_are_signed_too():
    """A new roster is signed by its people, and is no statement."""
    key = ROSTER.person("bob").keys[0]
    assert check_key_signature(b"roster", BOB.sign(b"roster", PRODUCTION), key, PRODUCTION).pin
    with pytest.raises(CaError) as caught:
        check_key_signature(b"rosters", BOB.sign(b"roster", PRODUCTION), key, PRODUCTION)
    assert caught.value.rule_ids == ("CEREMONY-SIGNATURE",)
