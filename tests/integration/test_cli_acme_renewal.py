"""`sealkeeper acme renewal` and the end of a pause, in the database of an appliance."""

from __future__ import annotations

import json

from tests.fixtures.commands import sealkeeper


def test_a_flag_is_made_listed_and_ended(appliance):
    config = ("--config", str(appliance.config_file))
    flag = sealkeeper(
        "acme",
        "renewal",
        "flag",
        "--profile",
        "tls-server",
        "--explanation-url",
        "https://ca.test/x",
        *config,
    ).stdout.strip()
    [row] = [
        each
        for each in json.loads(sealkeeper("acme", "renewal", "list", "--json", *config).stdout)
        if each["id"] == flag
    ]
    assert (row["scope"], row["subject"], row["explanation_url"], row["ended_at"]) == (
        "profile",
        "tls-server",
        "https://ca.test/x",
        None,
    )
    sealkeeper("acme", "renewal", "unflag", flag, *config)
    [line] = [
        each
        for each in sealkeeper("acme", "renewal", "list", *config).stdout.splitlines()
        if each.startswith(flag)
    ]
    assert line.split("\t")[1] == "ended"
    again = sealkeeper("acme", "renewal", "unflag", flag, *config, check=False)
    assert (again.returncode, "ACME-FLAG-UNKNOWN" in again.stderr) == (1, True)


def test_bad_options_are_told_in_one_line(appliance):
    config = ("--config", str(appliance.config_file))
    for options, code in (
        ((), 2),
        (("--profile", "tls-server", "--authority", "x"), 2),
        (("--profile", "tls-server", "--explanation-url", "javascript:x"), 2),
        (("--profile", "no-such-profile"), 1),
        (("--certificate", "0" * 64), 1),
    ):
        done = sealkeeper("acme", "renewal", "flag", *options, *config, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_a_pause_that_there_is_not_cannot_be_ended(appliance):
    arguments = ("acme", "account", "unpause", "00000000-0000-7000-8000-000000000000")
    done = sealkeeper(*arguments, "--config", str(appliance.config_file), check=False)
    assert (done.returncode, "ACME-NOT-PAUSED" in done.stderr) == (1, True)
