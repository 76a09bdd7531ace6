"""`sealkeeper acme account` and `eab`: what officers do at the command line, straight in the database."""

from __future__ import annotations

import json
import stat

import pytest

from ca_server.compose import SystemClock
from ca_server.core.base64url import decode_base64url
from ca_server.services.context import Context
from ca_server.store.engine import Database
from tests.fixtures.acme_accounts import URL, Accounts, refusal
from tests.fixtures.acme_keys import make_account_key, make_binding
from tests.fixtures.commands import sealkeeper

ALLOWED = ("--owner", "team", "--profile", "tls-*", "--allow", "dns:**.example.com")


@pytest.fixture
def acme(appliance):
    """Runs `sealkeeper acme`."""

    def run(*arguments, check=True):
        return sealkeeper("acme", *arguments, "--config", str(appliance.config_file), check=check)

    return run


@pytest.fixture
def accounts(appliance):
    """The server's accounts, as its door would make them."""
    database = Database(appliance.config.database.url)
    context = Context(SystemClock(), database, "test")
    yield Accounts(context, context.clock)
    database.close()


def test_a_key_is_printed_as_certbot_wants_it_and_binds_an_account(acme, accounts, tmp_path):
    out = tmp_path / "team.eab"
    made = acme("eab", "create", *ALLOWED, "--valid", "12h", "--uses", "2", "--out", str(out))
    assert made.stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    flag, kid, other_flag, secret = out.read_text().split()
    assert (flag, other_flag) == ("--eab-kid", "--eab-hmac-key")
    assert kid in made.stderr
    assert secret not in made.stderr
    key = make_account_key()
    binding = make_binding(kid, decode_base64url(secret), key.jwk, URL)
    account = accounts.account(key, external_binding=binding)

    listing = acme("eab", "list", "--json").stdout
    assert secret not in listing
    (row,) = json.loads(listing)
    assert (row["id"], row["owner"], row["uses"], row["max_uses"]) == (kid, "team", 1, 2)
    assert (row["profiles"], row["names"]) == (["tls-*"], ["dns:**.example.com"])
    assert acme("eab", "list").stdout.split("\t")[:3] == [kid, "in force", "1/2"]
    bound = json.loads(acme("account", "list", "--eab", kid, "--json").stdout)
    assert [each["id"] for each in bound] == [account.id]

    acme("eab", "revoke", kid)
    assert acme("eab", "list").stdout.split("\t")[1] == "ended"
    again = acme("eab", "revoke", kid, check=False)
    assert (again.returncode, "ACME-EAB-UNKNOWN" in again.stderr) == (1, True)
    other = make_account_key()
    binding = make_binding(kid, decode_base64url(secret), other.jwk, URL)
    assert refusal(accounts.create, other, external_binding=binding).rule_ids == ("ACME-EAB-SIGNATURE",)


def test_a_key_is_one_json_object_for_programs(acme):
    made = json.loads(acme("eab", "create", *ALLOWED, "--json").stdout)
    assert len(decode_base64url(made["hmac_key"]) or b"") == 32
    (row,) = json.loads(acme("eab", "list", "--json").stdout)
    assert {**row, "hmac_key": made["hmac_key"]} == made


def test_no_key_is_made_whose_secret_has_no_place(acme, tmp_path):
    """And no file stays for a key that is not made."""
    taken, nothing = tmp_path / "taken", tmp_path / "nothing"
    taken.write_text("mine")
    assert acme("eab", "create", *ALLOWED, "--out", str(taken), check=False).returncode == 1
    assert taken.read_text() == "mine"
    too_long = acme("eab", "create", *ALLOWED, "--valid", "900d", "--out", str(nothing), check=False)
    assert (too_long.returncode, nothing.exists()) == (1, False)
    assert "ACCESS-NEW-VALIDITY" in too_long.stderr
    assert json.loads(acme("eab", "list", "--json").stdout) == []
    assert acme("eab", "create", "--owner", "x", check=False).returncode == 2


def test_accounts_are_listed_shown_and_ended(acme, accounts):
    first = accounts.account(contacts=("mailto:a@example.com",))
    second = accounts.account(profile="tls-server-short")
    # Made within one second, which is what ids sort by, so either may come first.
    lines = {line.split("\t")[0]: line for line in acme("account", "list").stdout.splitlines()}
    assert lines.keys() == {first.id, second.id}
    assert lines[first.id].split("\t")[1] == "valid"
    assert lines[first.id].endswith("\ttls-server\t-\tmailto:a@example.com")
    narrowed = acme("account", "list", "--directory", "tls-server", "--status", "valid", "--json").stdout
    shown = json.loads(acme("account", "show", first.id, "--json").stdout)
    assert json.loads(narrowed) == [shown]
    assert (shown["id"], shown["key_thumbprint"]) == (first.id, first.thumbprint)
    assert (
        f"id: {first.id}\ndirectory: tls-server\nstatus: valid\n" in acme("account", "show", first.id).stdout
    )

    assert acme("account", "deactivate", first.id).stdout == ""
    assert json.loads(acme("account", "show", first.id, "--json").stdout)["status"] == "revoked"
    again = acme("account", "deactivate", first.id, check=False)
    assert (again.returncode, "ACME-ACCOUNT-ENDED" in again.stderr) == (1, True)
    for command in ("show", "deactivate"):
        unknown = acme("account", command, "nobody", check=False)
        assert (unknown.returncode, unknown.stderr) == (
            1,
            "sealkeeper: there is no such account [ACME-UNKNOWN]\n",
        )
    unpaused = acme("account", "unpause", second.id, check=False)
    assert (unpaused.returncode, "ACME-NOT-PAUSED" in unpaused.stderr) == (1, True)
