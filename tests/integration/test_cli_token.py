"""`sealkeeper token`: the first token of a new server is made straight in its database."""

from __future__ import annotations

import json
import stat

from ca_server.compose import SystemClock
from ca_server.core.authorization import Role
from ca_server.services.access import authenticate_token
from ca_server.services.context import Context
from ca_server.store.engine import Database
from tests.fixtures.commands import sealkeeper


def test_a_token_is_made_listed_and_ended(appliance, tmp_path):
    config = ("--config", str(appliance.config_file))
    out = tmp_path / "admin.token"
    arguments = ("create", "--role", "administrator", "--name", "first", "--profile", "*", "--allow", "*")
    done = sealkeeper("token", *arguments, "--valid", "12h", "--out", str(out), *config)
    assert done.stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sealkeeper("token", *arguments, "--out", str(out), *config, check=False).returncode == 1

    database = Database(appliance.config.database.url)
    principal = authenticate_token(Context(SystemClock(), database, "test"), out.read_text().strip())
    database.close()
    assert (principal.role, principal.profiles, principal.names) == (Role.ADMINISTRATOR, ("*",), ("*",))

    secret = sealkeeper("token", "create", "--role", "auditor", "--name", "second", *config).stdout.strip()
    assert secret.startswith("sk_")
    listing = sealkeeper("token", "list", "--json", *config).stdout
    assert secret not in listing
    rows = json.loads(listing)
    assert [row["name"] for row in rows if row["name"] in {"first", "second"}] == ["second", "first"]
    second = next(row["id"] for row in rows if row["name"] == "second")
    sealkeeper("token", "revoke", second, *config)
    assert sealkeeper("token", "revoke", second, *config, check=False).returncode == 1
    lines = sealkeeper("token", "list", *config).stdout.splitlines()
    assert [line.split("\t")[2] for line in lines if line.startswith(second)] == ["ended"]


def test_no_token_is_made_whose_secret_has_no_place(appliance, tmp_path):
    """And no file stays for a token that is not made."""
    config = ("--config", str(appliance.config_file))
    nowhere, nothing = tmp_path / "none" / "token", tmp_path / "token"
    arguments = ("create", "--role", "auditor", "--name", "homeless")
    done = sealkeeper("token", *arguments, "--out", str(nowhere), *config, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sealkeeper: {nowhere}: No such file or directory\n"
    assert '"homeless"' not in sealkeeper("token", "list", "--json", *config).stdout
    too_long = sealkeeper("token", *arguments, "--valid", "900d", "--out", str(nothing), *config, check=False)
    assert (too_long.returncode, nothing.exists()) == (1, False)


def test_bad_options_are_told_in_one_line(appliance):
    config = ("--config", str(appliance.config_file))
    for options, code in (
        (("--role", "root", "--name", "x"), 2),
        (("--role", "auditor", "--name", "x", "--valid", "forever"), 2),
        (("--role", "auditor", "--name", "x", "--valid", "900d"), 1),
        (("--role", "requester", "--name", "x", "--allow", "www.example.com"), 1),
    ):
        done = sealkeeper("token", "create", *options, *config, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
