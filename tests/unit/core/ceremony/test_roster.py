"""The roster says everything once, in one spelling, and each one follows the one before."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec

from ca_server.core.ceremony import roster as module
from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.roster import allowed_signers, check_successor, parse_roster
from ca_server.core.errors import CaError, Kind
from tests.fixtures.rosters import key_entry, person_entry, roster_bytes, roster_document, software_key
from tests.fixtures.ssh_signatures import SoftwareKey, TokenKey

ADA, BOB, EVE = software_key(), TokenKey(), TokenKey()
CARD = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
PERSONS = (
    person_entry("ada", key_entry(ADA), key_entry(CARD, kept_in="smartcard", use="production")),
    person_entry("bob", key_entry(BOB)),
)
IN_TIME = datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
LAST = datetime(2028, 1, 1, tzinfo=UTC)
OVER = datetime(2028, 1, 1, 0, 0, 1, tzinfo=UTC)


def broken_rules(data: bytes) -> list[tuple[str, str | None]]:
    with pytest.raises(CaError) as caught:
        parse_roster(data)
    assert caught.value.kind is Kind.MALFORMED
    return [(each.rule_id, each.pointer) for each in caught.value.violations]


def test_what_a_roster_says():
    data = roster_bytes(*PERSONS)
    roster = parse_roster(data)
    assert roster.sha256 == hashlib.sha256(data).hexdigest()
    assert (roster.domain, roster.sequence, roster.previous) == ("example.com", 1, None)
    assert roster.groups == {"green": ("ada", "bob")}
    ada = roster.person("ada")
    assert (ada.name, [key.public_key.line for key in ada.keys]) == ("Ada Example", [ADA.line, CARD.line])
    assert ada.keys[0].valid_until == LAST
    with pytest.raises(CaError) as caught:
        roster.person("eve")
    assert caught.value.rule_ids == ("CEREMONY-PERSON",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"a":1,"a":1}',
        b"NaN",
        b"[" * 100_000,
        b"9" * 5000,
        json.dumps(roster_document(*PERSONS)).encode(),
        roster_bytes(*PERSONS) + b"\n",
        b"\xef\xbb\xbf" + roster_bytes(*PERSONS),
        roster_bytes(*PERSONS).replace(b'"sequence":1', b'"sequence":1.0'),
        roster_bytes(*PERSONS).replace(b"example.com", b"ex\\u0061mple.com"),
        roster_bytes(*PERSONS).replace(b"Ada", b"\\ud800"),
    ],
)
def test_every_spelling_but_one_is_refused(data):
    assert broken_rules(data)[0][0] in {"CEREMONY-ROSTER-JSON", "CEREMONY-ROSTER-VALUE"}
    if b"persons" in data:
        assert broken_rules(data) == [("CEREMONY-ROSTER-JSON", None)]


def test_the_cap_comes_first():
    assert broken_rules(b" " * (module.MAX_ROSTER_BYTES + 1)) == [("CEREMONY-ROSTER-SIZE", None)]


@pytest.mark.parametrize(
    ("changes", "rule_id", "pointer"),
    [
        ({"x": 1}, "CEREMONY-ROSTER-VALUE", "/x"),
        ({"format": "ceremony-roster/v2"}, "CEREMONY-ROSTER-VALUE", "/format"),
        ({"persons": []}, "CEREMONY-ROSTER-VALUE", "/persons"),
        ({"persons": "ada"}, "CEREMONY-ROSTER-VALUE", "/persons"),
        ({"sequence": "1"}, "CEREMONY-ROSTER-VALUE", "/sequence"),
        ({"sequence": True}, "CEREMONY-ROSTER-VALUE", "/sequence"),
        ({"sequence": 0}, "CEREMONY-ROSTER-VALUE", "/sequence"),
        ({"sequence": 2}, "CEREMONY-ROSTER-PREVIOUS", "/previous"),
        ({"previous": "0" * 64}, "CEREMONY-ROSTER-PREVIOUS", "/previous"),
        ({"sequence": 2, "previous": "0" * 63}, "CEREMONY-ROSTER-VALUE", "/previous"),
        ({"sequence": 2, "previous": "A" * 64}, "CEREMONY-ROSTER-VALUE", "/previous"),
        ({"domain": "Example.com"}, "CEREMONY-ROSTER-DOMAIN", "/domain"),
        ({"domain": "*.example.com"}, "CEREMONY-ROSTER-DOMAIN", "/domain"),
        ({"domain": 'x",cert-authority'}, "CEREMONY-ROSTER-DOMAIN", "/domain"),
        ({"domain": 1}, "CEREMONY-ROSTER-DOMAIN", "/domain"),
        ({"groups": {"green": ["eve"]}}, "CEREMONY-ROSTER-GROUP", "/groups/green"),
        ({"groups": {"green": ["ada", "ada"]}}, "CEREMONY-ROSTER-GROUP", "/groups/green"),
        ({"groups": {"green": []}}, "CEREMONY-ROSTER-VALUE", "/groups/green"),
        ({"groups": {f"g{n}": ["ada"] for n in range(33)}}, "CEREMONY-ROSTER-VALUE", "/groups"),
    ],
)
def test_what_a_roster_as_a_whole_must_be(changes, rule_id, pointer):
    assert broken_rules(roster_bytes(*PERSONS, **changes)) == [(rule_id, pointer)]


def test_group_names_are_slugs():
    assert broken_rules(roster_bytes(*PERSONS, groups={"Green": ["ada"]}))[0][0] == "CEREMONY-ROSTER-VALUE"


@pytest.mark.parametrize(
    ("changes", "rule_id"),
    [
        ({"id": "Ada"}, "CEREMONY-ROSTER-VALUE"),
        ({"id": "ada\n"}, "CEREMONY-ROSTER-VALUE"),
        ({"id": "*"}, "CEREMONY-ROSTER-VALUE"),
        ({"id": "bob"}, "CEREMONY-ROSTER-PERSON"),
        ({"id": "engine"}, "CEREMONY-ROSTER-PERSON"),
        ({"keys": []}, "CEREMONY-ROSTER-VALUE"),
        ({"name": ""}, "CEREMONY-ROSTER-VALUE"),
        ({"name": "x" * 129}, "CEREMONY-ROSTER-VALUE"),
        ({"name": 1}, "CEREMONY-ROSTER-VALUE"),
        ({"name": " Ada"}, "CEREMONY-ROSTER-NAME"),
        ({"name": "Ada\nBob"}, "CEREMONY-ROSTER-NAME"),
        ({"name": "Ada\u202eBob"}, "CEREMONY-ROSTER-NAME"),
        ({"name": "A\u0308da"}, "CEREMONY-ROSTER-NAME"),
        ({"email": "ada@example.com"}, "CEREMONY-ROSTER-VALUE"),
    ],
)
def test_what_a_person_must_be(changes, rule_id):
    persons = ({**PERSONS[0], **changes}, PERSONS[1])
    found = broken_rules(roster_bytes(*persons, groups={"green": ["bob"]}))
    assert [each for each, _ in found] == [rule_id]


@pytest.mark.parametrize("word", list(RoleName))
def test_nobody_is_called_like_a_role(word):
    """A transcript's `actor` is a person, a role or the engine."""
    assert broken_rules(roster_bytes(person_entry(word, key_entry(ADA)))) == [
        ("CEREMONY-ROSTER-PERSON", "/persons")
    ]


@pytest.mark.parametrize(
    ("entry", "rule_id"),
    [
        (key_entry(EVE, kept_in="smartcard"), "CEREMONY-ROSTER-KEPT-IN"),
        (key_entry(EVE, kept_in="file", use="rehearsal"), "CEREMONY-ROSTER-KEPT-IN"),
        (key_entry(software_key(), kept_in="fido"), "CEREMONY-ROSTER-KEPT-IN"),
        (key_entry(software_key(), use="production"), "CEREMONY-ROSTER-KEPT-IN"),
        (key_entry(BOB), "CEREMONY-ROSTER-KEY-REPEATED"),
        (key_entry(EVE, kept_in="pocket"), "CEREMONY-ROSTER-VALUE"),
        (key_entry(EVE, use="both"), "CEREMONY-ROSTER-VALUE"),
        (key_entry(EVE, public_key=EVE.line + " comment"), "CEREMONY-PUBLIC-KEY"),
        (key_entry(EVE, public_key=EVE.line + "\n"), "CEREMONY-PUBLIC-KEY"),
        (key_entry(EVE, public_key="ssh-dss AAAA"), "CEREMONY-PUBLIC-KEY"),
        (key_entry(EVE, public_key=7), "CEREMONY-PUBLIC-KEY"),
        (key_entry(EVE, valid_until="2028-01-01"), "CEREMONY-ROSTER-TIME"),
        (key_entry(EVE, valid_until="2028-01-01T00:00:00+00:00"), "CEREMONY-ROSTER-TIME"),
        (key_entry(EVE, valid_until="2028-01-01T00:00:00.5Z"), "CEREMONY-ROSTER-TIME"),
        (key_entry(EVE, valid_until="2028-02-30T00:00:00Z"), "CEREMONY-ROSTER-TIME"),
        (key_entry(EVE, valid_until="0028-01-01T00:00:00Z"), "CEREMONY-ROSTER-TIME"),
        (key_entry(EVE, valid_until=1830297600), "CEREMONY-ROSTER-TIME"),
        (key_entry(EVE, comment="x"), "CEREMONY-ROSTER-VALUE"),
    ],
)
def test_what_a_key_must_be(entry, rule_id):
    persons = (PERSONS[1], person_entry("eve", entry))
    assert [each for each, _ in broken_rules(roster_bytes(*persons))] == [rule_id]


def test_all_that_is_wrong_is_said_at_once():
    persons = (person_entry("ada", key_entry(ADA, use="production")), person_entry("ada", key_entry(ADA)))
    found = {rule_id for rule_id, _ in broken_rules(roster_bytes(*persons, sequence=2, groups={"g": ["x"]}))}
    assert found == {
        "CEREMONY-ROSTER-PERSON",
        "CEREMONY-ROSTER-KEY-REPEATED",
        "CEREMONY-ROSTER-KEPT-IN",
        "CEREMONY-ROSTER-GROUP",
        "CEREMONY-ROSTER-PREVIOUS",
    }


def test_no_key_of_a_roster_steers_the_terminal_that_shows_it():
    with pytest.raises(CaError) as caught:
        parse_roster(roster_bytes(*PERSONS, **{"\x1b[2J\n": 1}))
    assert caught.value.detail.isprintable()
    assert caught.value.violations[0].pointer == "/\x1b[2J\n"


def test_namespaces_keep_rehearsals_apart():
    roster = parse_roster(roster_bytes(*PERSONS))
    assert roster.namespace("production") == "ceremony@example.com"
    assert roster.namespace("rehearsal") == "ceremony-rehearsal@example.com"


def test_allowed_signers_line_by_line():
    roster = parse_roster(roster_bytes(*PERSONS))
    options = 'namespaces="ceremony@example.com",valid-before="20280101000000Z"'
    assert allowed_signers(roster, "production").decode() == (
        f"ada {options} {CARD.line}\nbob {options} {BOB.line}\n"
    )
    rehearsal = allowed_signers(roster, "rehearsal").decode().splitlines()
    assert [line.split()[0] for line in rehearsal] == ["ada", "ada", "bob"]
    assert all('namespaces="ceremony-rehearsal@example.com"' in line for line in rehearsal)


def successor(*persons, **changes):
    old = parse_roster(roster_bytes(*PERSONS))
    return old, parse_roster(roster_bytes(*persons, **{"sequence": 2, "previous": old.sha256, **changes}))


def test_what_a_new_roster_changes():
    old, new = successor(PERSONS[1], person_entry("eve", key_entry(EVE)))
    change = check_successor(old, new)
    ada_keys = sorted(("ada", key.public_key.sha256) for key in old.person("ada").keys)
    assert (change.added_persons, change.removed_persons) == (("eve",), ("ada",))
    assert change.added_keys == (("eve", new.person("eve").keys[0].public_key.sha256),)
    assert change.removed_keys == tuple(ada_keys)
    assert change.replaced == {"green": ("ada",)}


def test_whoever_keeps_no_key_or_leaves_a_group_is_replaced():
    new_key = TokenKey()
    old, new = successor(PERSONS[0], person_entry("bob", key_entry(new_key)), groups={"blue": ["ada", "bob"]})
    assert check_successor(old, new).replaced == {"green": ("ada", "bob")}
    old, new = successor(PERSONS[0], person_entry("bob", key_entry(new_key)))
    change = check_successor(old, new)
    assert (change.added_persons, change.removed_persons) == ((), ())
    assert change.replaced == {"green": ("bob",)}
    old, new = successor(PERSONS[0], person_entry("bob", key_entry(BOB), key_entry(new_key)))
    assert check_successor(old, new).replaced == {"green": ()}


@pytest.mark.parametrize(
    "changes",
    [{"sequence": 3}, {"previous": "0" * 64}, {"domain": "example.org"}, {"sequence": 1, "previous": None}],
)
def test_a_roster_that_does_not_follow(changes):
    old, new = successor(*PERSONS, **changes)
    with pytest.raises(CaError) as caught:
        check_successor(old, new)
    assert caught.value.rule_ids == ("CEREMONY-ROSTER-SUCCESSOR",)


def test_the_largest_roster_fits_its_cap():
    persons = [
        person_entry(f"p{number}", *(key_entry(software_key()) for _ in range(module.MAX_KEYS_OF_ONE)))
        for number in range(module.MAX_PERSONS)
    ]
    data = rfc8785.dumps(roster_document(*persons))
    assert len(parse_roster(data).persons) == module.MAX_PERSONS
    one_more = [*persons, person_entry("one-more", key_entry(ADA))]
    assert broken_rules(rfc8785.dumps(roster_document(*one_more))) == [("CEREMONY-ROSTER-VALUE", "/persons")]
