"""Practice officers: everybody that any script may ask for, with keys that `ssh-keygen` takes."""

from __future__ import annotations

import subprocess

import pytest

from ca_server.core.ceremony.demands import RoleName, check_roles
from ca_server.core.ceremony.roster import allowed_signers, parse_roster
from ca_server.core.errors import CaError, Kind
from ceremony.practice import PracticeOfficers, make_practice_roster
from ceremony.ready import kinds, ready_script
from ceremony.script import parse_script
from tests.fixtures.small_ceremony import NOON, SCRIPT

NAMESPACE = "ceremony-rehearsal@rehearsal.example"


@pytest.mark.parametrize("kind", kinds())
def test_the_roster_of_practice_fills_every_ready_script(kind, practice):
    roster = parse_roster((practice / "roster.json").read_bytes())
    script = parse_script(ready_script(kind, public_url=None, roster=None, inputs={}).encode())
    check_roles(script.roles, roster)
    for share_set in script.shares.values():
        assert len(roster.groups[share_set.group]) >= share_set.threshold
    assert script.roles.keys() <= set(RoleName)


def test_groups_that_only_this_script_has_are_in_it_too(tmp_path):
    text = SCRIPT.replace('group = "key-officers"\nquorum = 2', 'group = "green"\nquorum = 4')
    roster = parse_roster(make_practice_roster(parse_script(text.encode()), tmp_path, NOON).read_bytes())
    assert roster.groups["green"] == ("green-1", "green-2", "green-3", "green-4")


def test_keys_are_for_rehearsals_alone_and_for_nobody_else_to_read(practice):
    roster = parse_roster((practice / "roster.json").read_bytes())
    assert allowed_signers(roster, "production") == b""
    for person in roster.persons:
        assert (practice / person).stat().st_mode & 0o777 == 0o600


def test_a_roster_that_is_there_stays(practice):
    before = (practice / "roster.json").read_bytes()
    make_practice_roster(parse_script(SCRIPT.encode()), practice, NOON)
    assert (practice / "roster.json").read_bytes() == before


def test_a_roster_that_was_interrupted_is_made_again_with_the_keys_that_are_there(tmp_path):
    script = parse_script(SCRIPT.encode())
    before = make_practice_roster(script, tmp_path, NOON).read_bytes()
    (tmp_path / "roster.json").unlink()
    (tmp_path / "administrator-1.pub").unlink()
    after = make_practice_roster(script, tmp_path, NOON).read_bytes()
    old, new = parse_roster(before), parse_roster(after)
    changed = [person for person in old.persons if old.persons[person] != new.persons[person]]
    assert changed == ["administrator-1"]


def test_a_signature_is_one_to_ssh_keygen(practice, tmp_path):
    statement, signers = tmp_path / "statement.txt", tmp_path / "signers"
    statement.write_bytes(b"what is signed\n")
    PracticeOfficers(practice).sign("key-officer-1", statement, NAMESPACE)
    signers.write_bytes(allowed_signers(parse_roster((practice / "roster.json").read_bytes()), "rehearsal"))
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "key-officer-1", "-n", NAMESPACE]
    command += ["-s", f"{statement}.sig"]
    subprocess.run(command, input=b"what is signed\n", check=True, capture_output=True)


def test_signing_again_writes_over_what_a_crash_left(practice, tmp_path):
    statement = tmp_path / "statement.txt"
    statement.write_bytes(b"what is signed\n")
    (tmp_path / "statement.txt.sig").write_bytes(b"half of a signa")
    PracticeOfficers(practice).sign("key-officer-1", statement, NAMESPACE)
    assert (tmp_path / "statement.txt.sig").read_bytes().startswith(b"-----BEGIN SSH SIGNATURE-----")


def test_somebody_without_a_key_cannot_sign(practice, tmp_path):
    (tmp_path / "statement.txt").write_bytes(b"what is signed\n")
    with pytest.raises(CaError) as refused:
        PracticeOfficers(practice).sign("nobody", tmp_path / "statement.txt", NAMESPACE)
    assert refused.value.kind is Kind.UNAVAILABLE


def test_a_share_is_kept_for_its_custodian_until_it_is_destroyed(tmp_path):
    officers = PracticeOfficers(tmp_path)
    officers.hand_over_share("ada", "root-r1", "duckling enlarge academic")
    path = tmp_path / "shares" / "ada" / "root-r1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert officers.ask_share("ada", "root-r1").split() == ["duckling", "enlarge", "academic"]
    officers.destroy_share("ada", "root-r1")
    officers.destroy_share("ada", "root-r1")
    with pytest.raises(CaError) as refused:
        officers.ask_share("ada", "root-r1")
    assert refused.value.kind is Kind.NOT_FOUND
