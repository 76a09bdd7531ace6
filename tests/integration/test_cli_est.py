"""`sealkeeper est secret`: what officers do at the command line, straight in the database."""

from __future__ import annotations

import json
import stat

import pytest

from ca_server.cli.enroll.secret import read_secret
from tests.fixtures.commands import sealkeeper

ALLOWED = ("--owner", "team", "--profile", "tls-peer", "--allow", "dns:**.example.com")


@pytest.fixture
def secret(appliance):
    """Runs `sealkeeper est secret`."""

    def run(*arguments, check=True):
        return sealkeeper("est", "secret", *arguments, "--config", str(appliance.config_file), check=check)

    return run


def test_a_secret_is_written_as_clients_want_it_listed_and_ended(secret, tmp_path):
    out = tmp_path / "secret"
    made = secret("create", *ALLOWED, "--valid", "12h", "--uses", "2", "--out", str(out))
    assert made.stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    user, password = read_secret(out, pytest.fail)
    assert user in made.stderr
    assert password not in made.stderr
    listing = secret("list", "--json").stdout
    assert password not in listing
    (row,) = json.loads(listing)
    assert (row["id"], row["owner"], row["uses"], row["max_uses"]) == (user, "team", 0, 2)
    assert (row["profile"], row["names"]) == ("tls-peer", ["dns:**.example.com"])
    assert secret("list").stdout.split("\t")[:3] == [user, "in force", "0/2"]
    secret("revoke", user)
    assert secret("list").stdout.split("\t")[1] == "ended"
    again = secret("revoke", user, check=False)
    assert (again.returncode, "EST-SECRET-UNKNOWN" in again.stderr) == (1, True)


def test_a_secret_is_one_json_object_for_programs(secret):
    made = json.loads(secret("create", *ALLOWED, "--json").stdout)
    assert made["secret"].startswith("sk_")
    (row,) = json.loads(secret("list", "--json").stdout)
    assert {**row, "secret": made["secret"]} == made


def test_no_secret_is_made_that_has_no_place_or_no_use(secret, tmp_path):
    """And no file stays for one that is not made."""
    taken, nothing = tmp_path / "taken", tmp_path / "nothing"
    taken.write_text("mine")
    assert secret("create", *ALLOWED, "--out", str(taken), check=False).returncode == 1
    assert taken.read_text() == "mine"
    wrong = ("--owner", "team", "--profile", "code-signing", "--allow", "*")
    refused = secret("create", *wrong, "--out", str(nothing), check=False)
    assert (refused.returncode, nothing.exists()) == (1, False)
    assert "EST-SECRET-NEW" in refused.stderr
    assert json.loads(secret("list", "--json").stdout) == []
