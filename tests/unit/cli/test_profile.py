"""`sealkeeper profile` as an officer uses it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ca_server.cli.profile import command
from ca_server.core.errors import CaError
from ca_server.policy_store import default_directory

TLS_SERVER = default_directory() / "profiles/tls-server.toml"


def run(*arguments):
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    if isinstance(result.exception, CaError):
        raise result.exception
    return result


def test_check_reads_the_shipped_policies_and_finds_no_error():
    result = run("check")
    assert result.exit_code == 0
    assert "11 profiles read" in result.stderr


def test_check_fails_on_a_dangerous_profile(tmp_path):
    path = tmp_path / "tls-server.toml"
    path.write_text(TLS_SERVER.read_text().replace('["server_auth"]', '["any"]'))
    result = run("check", path)
    assert result.exit_code == 1
    assert "[TEMPLATE-ANY-PURPOSE]" in result.stdout
    findings = json.loads(run("check", "--json", path).stdout)
    assert {(each["profile"], each["severity"]) for each in findings} == {
        ("tls-server", "error"),
        ("tls-server", "notice"),
    }


def test_check_refuses_a_file_with_an_unknown_key(tmp_path):
    path = tmp_path / "tls-server.toml"
    path.write_text(TLS_SERVER.read_text() + "colour = 1\n")
    with pytest.raises(CaError) as caught:
        run("check", path)
    assert caught.value.rule_ids == ("PROFILE-UNKNOWN-KEY",)
    assert caught.value.violations[0].pointer == "/est/colour"


def test_diff_compares_files_and_names(tmp_path):
    path = tmp_path / "tls-server.toml"
    path.write_text(TLS_SERVER.read_text().replace('"90d"', '"30d"'))
    assert run("diff", "tls-server", path).stdout == 'validity.default: "90d" -> "30d"\n'
    assert json.loads(run("diff", "--json", "tls-server", path).stdout) == [
        {"field": "validity.default", "before": "90d", "after": "30d"}
    ]
    assert run("diff", "tls-server", TLS_SERVER).stdout == ""


def test_list_and_show():
    names = [line.split()[0] for line in run("list").stdout.splitlines()]
    assert names == sorted(names)
    assert "tls-server" in names
    assert {each["name"] for each in json.loads(run("list", "--json").stdout)} == set(names)
    shown = run("show", "tls-server").stdout
    assert 'validity.default = "90d"' in shown
    described = json.loads(run("show", "--json", "tls-server").stdout)
    assert described["name"] == "tls-server"
    assert len(described["sha256"]) == 64


def test_an_unknown_profile_is_refused():
    with pytest.raises(CaError) as caught:
        run("show", "tls-sever")
    assert caught.value.rule_ids == ("PROFILE-UNKNOWN",)
    with pytest.raises(CaError):
        run("show", "missing.toml")


def test_schema_is_json():
    assert json.loads(run("schema").stdout)["additionalProperties"] is False
