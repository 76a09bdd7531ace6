"""`sealkeeper ceremony roster …` as people call it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct

import pytest
from click.testing import CliRunner

from ca_server.core.ceremony.roster import parse_roster
from ca_server.core.errors import CaError
from ceremony.roster_commands import allowed_signers, roster


def key_line(seed: int) -> str:
    parts = (b"ssh-ed25519", hashlib.sha256(bytes([seed])).digest())
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def people(tmp_path, *persons: str):
    lines = ['domain = "example.com"', f"[groups]\nkey-officers = {json.dumps(list(persons))}"]
    for person in persons:
        lines += [
            f'[[persons]]\nid = "{person}"\nname = "{person.title()}"',
            '[[persons.keys]]\nkept_in = "smartcard"\nuse = "production"',
            f'public_key = "{key_line(len(person))} {person}@laptop"\nvalid_until = "2030-01-01T00:00:00Z"',
        ]
    path = tmp_path / "people.toml"
    path.write_text("\n".join(lines))
    return path


def call(*arguments) -> str:
    done = CliRunner().invoke(roster, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_people_become_a_roster_and_the_next_one_names_it(tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    digest = call("init", people(tmp_path, "ada", "bo"), "--out", first).strip()
    assert digest == hashlib.sha256(first.read_bytes()).hexdigest()
    call("init", people(tmp_path, "ada", "cynthia"), "--out", second, "--previous", first)
    made = parse_roster(second.read_bytes())
    assert (made.sequence, made.previous) == (2, digest)
    done = CliRunner().invoke(roster, ["check", str(second), "--previous", str(first)])
    assert "new: cynthia" in done.stderr
    assert "gone: bo" in done.stderr


def test_the_example_is_one_but_for_its_key(tmp_path):
    text = (
        call("example")
        .replace("sk-ssh-ed25519@openssh.com AAAA...", key_line(1))
        .replace("fido", "smartcard")
    )
    (tmp_path / "people.toml").write_text(text.replace('"bob", "cyd", "dan"', '"ada"'))
    assert len(call("init", tmp_path / "people.toml", "--out", tmp_path / "r.json").strip()) == 64


@pytest.mark.parametrize("text", ["domain = ", "a = 1979-05-27\n", "\udcff"])
def test_what_is_no_list_of_people_is_refused(tmp_path, text):
    path = tmp_path / "people.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CaError) as refused:
        call("init", path, "--out", tmp_path / "r.json")
    assert refused.value.rule_ids == ("CEREMONY-ROSTER-PEOPLE",)
    assert not (tmp_path / "r.json").exists()


def test_a_roster_is_never_written_over(tmp_path):
    out = tmp_path / "1.json"
    call("init", people(tmp_path, "ada"), "--out", out)
    with pytest.raises(CaError, match="never changed"):
        call("init", people(tmp_path, "ada", "bo"), "--out", out)


def test_allowed_signers_are_those_of_the_mode(tmp_path):
    out = tmp_path / "1.json"
    call("init", people(tmp_path, "ada"), "--out", out)
    done = CliRunner().invoke(allowed_signers, [str(out), "--mode", "production"])
    assert done.stdout.startswith('ada namespaces="ceremony@example.com"')
    assert key_line(3) in done.stdout
