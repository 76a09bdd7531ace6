"""Whatever comes in place of a key, a signature, a roster or a statement, nothing but CaError comes out."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_server.core.ceremony.demands import Role, RoleName, check_persons, check_roles, must_differ
from ca_server.core.ceremony.people import check_signature
from ca_server.core.ceremony.roster import allowed_signers, parse_roster
from ca_server.core.ceremony.ssh_keys import parse_public_blob, parse_public_key
from ca_server.core.ceremony.sshsig import parse_sshsig, verify_sshsig
from ca_server.core.ceremony.statement import Gate, Statement, parse_statement
from ca_server.core.errors import CaError
from tests.fixtures.rosters import key_entry, person_entry, roster_bytes, roster_document
from tests.fixtures.ssh_signatures import SoftwareKey, TokenKey, armour, disarmour

KEYS = (
    SoftwareKey(rsa.generate_private_key(65537, 2048)),
    SoftwareKey(ec.generate_private_key(ec.SECP521R1())),
    SoftwareKey(ed25519.Ed25519PrivateKey.generate()),
    TokenKey(),
    TokenKey(ed25519.Ed25519PrivateKey.generate()),
    TokenKey(application="example.com"),
)
PERSONS = [
    person_entry(f"p{number}", key_entry(key, kept_in="fido" if isinstance(key, TokenKey) else "smartcard"))
    for number, key in enumerate(KEYS)
]
ROSTER = roster_bytes(*PERSONS)
NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)
SLUG = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", fullmatch=True)
PATH = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,30}(/[a-z0-9][a-z0-9.-]{0,30}){0,3}", fullmatch=True)
STATEMENT = st.builds(
    Statement,
    ceremony=SLUG,
    kind=SLUG,
    mode=st.sampled_from(["rehearsal", "production"]),
    gate=st.sampled_from(list(Gate)),
    step=SLUG,
    script_sha256=DIGEST,
    roster_sha256=DIGEST,
    subject=PATH,
    subject_sha256=DIGEST,
    transcript_sequence=st.integers(0, 999_999_999),
    transcript_sha256=DIGEST,
    person=SLUG,
    role=st.sampled_from(list(RoleName)),
    nonce=DIGEST.map(lambda text: text[:32]),
    time=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)).map(
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def changed(data: bytes, position: int, inserted: bytes, removed: int) -> bytes:
    at = position % len(data)
    return data[:at] + inserted + data[at + removed :]


@given(st.binary(max_size=2000), st.text(max_size=300))
def test_any_bytes_and_any_text(data, text):
    key = parse_public_key(KEYS[2].line)
    for parse in (parse_roster, parse_statement, parse_sshsig, parse_public_blob):
        with contextlib.suppress(CaError):
            parse(data)
    with contextlib.suppress(CaError):
        parse_public_key(text)
    with contextlib.suppress(CaError):
        verify_sshsig(armour(data), b"", "ns", key)
    with contextlib.suppress(CaError):
        check_signature(data, armour(data), parse_roster(ROSTER), "production", NOON)


@given(st.sampled_from(KEYS), st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 6))
@settings(max_examples=400)
def test_any_change_of_a_good_signature(key, position, inserted, removed):
    signatures = [key.sign(b"message", "ns")]
    if isinstance(key, TokenKey) and key.application == "example.com":
        signatures.append(key.sign_in_browser(b"message", "ns"))
    public_key = parse_public_key(key.line)
    for armoured in signatures:
        verify_sshsig(armoured, b"message", "ns", public_key)
        blob = disarmour(armoured)
        for data in (
            armour(changed(blob, position, inserted, removed)),
            changed(armoured, position, inserted, removed),
        ):
            if data == armoured:
                continue
            with contextlib.suppress(CaError):
                verify_sshsig(data, b"message", "ns", public_key)
                # Longer or shorter lines of armour spell the same bytes.
                assert disarmour(data) == blob


@given(st.sampled_from(KEYS), st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 6))
@settings(max_examples=400)
def test_any_change_of_a_good_key(key, position, inserted, removed):
    with contextlib.suppress(CaError):
        found = parse_public_blob(changed(key.blob, position, inserted, removed))
        assert parse_public_key(found.line) == found


@given(st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 60))
@settings(max_examples=300)
def test_any_change_of_a_good_roster(position, inserted, removed):
    data = changed(ROSTER, position, inserted, removed)
    with contextlib.suppress(CaError):
        roster = parse_roster(data)
        assert rfc8785.dumps(json.loads(data)) == data
        assert allowed_signers(roster, "rehearsal").count(b"\n") == len(PERSONS)


@given(st.sampled_from(sorted(roster_document())), st.sampled_from(["id", "keys", "name"]), JSON)
@settings(max_examples=300)
def test_any_value_in_a_roster(member, of_person, value):
    for document in (
        roster_document(*PERSONS, **{member: value}),
        roster_document({**PERSONS[0], of_person: value}, groups={}),
        roster_document({**PERSONS[0], "keys": [value]}, groups={}),
        *(
            roster_document({**PERSONS[0], "keys": [{**PERSONS[0]["keys"][0], part: value}]}, groups={})
            for part in PERSONS[0]["keys"][0]
        ),
    ):
        with contextlib.suppress(CaError, rfc8785.CanonicalizationError):
            parse_roster(rfc8785.dumps(document))


@given(STATEMENT)
def test_every_statement_has_one_text(statement):
    text = statement.text()
    assert parse_statement(text) == statement
    assert text.isascii()
    no_subject = replace(statement, subject="-", subject_sha256="-", step="-")
    assert parse_statement(no_subject.text()) == no_subject


@given(STATEMENT, st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 6))
@settings(max_examples=300)
def test_two_texts_are_never_one_statement(statement, position, inserted, removed):
    text = changed(statement.text(), position, inserted, removed)
    with contextlib.suppress(CaError):
        assert parse_statement(text).text() == text


class _Groups:
    def __init__(self, groups):
        self.groups = groups


GROUPS = st.fixed_dictionaries(
    {name: st.sets(st.sampled_from("abcd"), min_size=1).map(lambda ids: tuple(sorted(ids))) for name in "xyz"}
)
ROLES = st.dictionaries(
    st.sampled_from(list(RoleName)),
    st.builds(
        Role,
        group=st.sampled_from("xyz"),
        quorum=st.integers(1, 2),
        distinct_from=st.lists(st.sampled_from(list(RoleName)), max_size=2),
    ),
    min_size=1,
    max_size=3,
)


def can_be_met(roles, groups) -> bool:
    """Whether some people can really take these roles, by trying all."""
    choices = []
    for name, role in roles.items():
        members = groups.groups[role.group]
        chosen = [pick for pick in product((False, True), repeat=len(members)) if sum(pick) == role.quorum]
        choices.append(
            [[(who, name) for who, yes in zip(members, pick, strict=True) if yes] for pick in chosen]
        )
    for attendance in product(*choices):
        with contextlib.suppress(CaError):
            check_persons([each for part in attendance for each in part], roles, groups)
            return True
    return False


@given(ROLES, GROUPS.map(_Groups))
@settings(max_examples=500)
def test_demands_are_refused_only_when_nobody_can_meet_them(roles, groups):
    own = any(name in role.distinct_from for name, role in roles.items())
    try:
        check_roles(roles, groups)
    except CaError:
        assert own or not can_be_met(roles, groups)
    else:
        pairs = [(one, other) for one in roles for other in roles if one is not other]
        if all(must_differ(one, other, roles) for one, other in pairs):
            assert can_be_met(roles, groups)
