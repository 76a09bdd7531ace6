"""A proposed profile is tried on the stored requests: what would end differently, and nothing is written."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from ca_server.cli.profile import command
from ca_server.compose import SystemClock
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError
from ca_server.core.profile import parse_profile
from ca_server.core.signatures import KeyType
from ca_server.policy_store import default_directory
from ca_server.services.access import authorize_request
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.credentials import OPERATOR
from ca_server.services.issuers import read_issuers
from ca_server.services.simulate import Trial, simulate
from ca_server.store.requests import requests_since
from tests.fakes.paper_authority import csr_der, dns, make_key

PUBLIC_URL = "http://ca.test:8080"


def proposed(*replacements):
    content = (default_directory() / "profiles/tls-server.toml").read_text()
    for old, new in replacements:
        assert old in content
        content = content.replace(old, new)
    return parse_profile(content.encode(), source="tls-server.toml")


def ask(issuing, names, *, key_type=KeyType.EC_P256, **times):
    csr = parse_csr(csr_der(dns(*names), key=make_key(key_type)))
    authorization = authorize_request(issuing.mints["rest"], OPERATOR, "tls-server", csr)
    return issuing.gate.issue(CertificateRequest(csr, authorization, **times))


def trial(issuing, profile, *, in_force=True):
    issuers = read_issuers(issuing.context, public_url=PUBLIC_URL, ocsp_url="http://ca.test:8081/")
    return Trial(
        proposed=profile,
        in_force=issuing.policies.profile(profile.name) if in_force else None,
        site=issuing.policies.site,
        debian_weak_keys=issuing.policies.debian_weak_keys,
        issuer=issuers.current(),
        own_keys=issuers.own_keys,
    )


@pytest.fixture
def past(issuing):
    """Three requests that were granted and one that was refused, over two days."""
    ask(issuing, ["a.example.com"])
    ask(issuing, ["b.example.org"])
    issuing.clock.advance(days=1)
    ask(
        issuing,
        ["c.example.com"],
        key_type=KeyType.RSA_2048,
        not_after=issuing.clock.now() + timedelta(days=30),
    )
    with pytest.raises(CaError):
        ask(issuing, ["a_b.example.com"])
    issuing.clock.advance(days=1)
    return issuing


def replay(issuing, profile, days=30, **options):
    since = issuing.clock.now() - timedelta(days=days)
    return simulate(issuing.context, trial(issuing, profile, **options), since)


def counts(report):
    return (report.replayed, report.unchanged, report.now_refused, report.now_issued, report.now_different)


def test_the_profile_in_force_changes_nothing(past):
    assert counts(replay(past, proposed())) == (4, 4, 0, 0, 0)


def test_what_would_be_refused_is_told_with_its_rules(past):
    report = replay(past, proposed(('allow = ["**"]', 'allow = ["**.example.com"]'), (', "rsa-2048"', "")))
    assert counts(report) == (4, 2, 2, 0, 0)
    assert {(each.was, each.would, each.rule_ids) for each in report.differences} == {
        ("issued", "refused", ("PROFILE-NAME-ALLOW",)),
        ("issued", "refused", ("KEY-PROFILE",)),
    }


def test_what_would_be_issued_is_told_with_what_refused_it_then(past):
    report = replay(past, proposed(("[names]\n", "[names]\nunderscore = true\n")))
    assert counts(report) == (4, 3, 0, 1, 0)
    (difference,) = report.differences
    assert (difference.was, difference.would) == ("refused", "issued")
    assert difference.rule_ids == ("PROFILE-NAME-UNDERSCORE",)
    assert difference.principal == OPERATOR.id


def test_what_would_look_different_is_told_with_its_fields(past):
    shorter = replay(past, proposed(('default = "90d"', 'default = "30d"')))
    # The one that asked for its own end keeps it.
    assert counts(shorter) == (4, 2, 0, 0, 2)
    assert {each.fields for each in shorter.differences} == {("not_after",)}
    purposes = replay(past, proposed(('["server_auth"]', '["server_auth", "client_auth"]')))
    assert {each.fields for each in purposes.differences} == {("ExtendedKeyUsage",)}


def test_only_the_days_asked_for_are_replayed(past):
    assert replay(past, proposed(), days=1).replayed == 2
    assert replay(past, proposed(), days=2).replayed == 4


def test_a_new_profile_has_no_past(past):
    other = parse_profile(
        (default_directory() / "profiles/tls-peer.toml").read_bytes(), source="tls-peer.toml"
    )
    assert replay(past, other, in_force=False).replayed == 0


def test_nothing_is_written(past):
    tables = ("certificate_request", "issuance_intent", "certificate", "audit_event")

    def rows():
        with past.context.database.read() as connection:
            return [connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables]

    before = rows()
    replay(past, proposed(('default = "90d"', 'default = "30d"')))
    assert rows() == before


def test_requests_are_read_in_pages_in_order(past, monkeypatch):
    monkeypatch.setattr("ca_server.store.requests.PAGE", 2)
    with past.context.database.read() as connection:
        found = list(requests_since(connection, profile="tls-server", created_at=0))
    assert len(found) == 4
    assert [each.id for each in found] == sorted(each.id for each in found)


def test_an_officer_sees_it_at_the_command_line(issuing, tmp_path):
    # The command reads the machine's clock, so these requests are made now.
    issuing.clock.advance(seconds=(SystemClock().now() - issuing.clock.now()).total_seconds())
    ask(issuing, ["a.example.com"])
    profile = tmp_path / "tls-server.toml"
    profile.write_text(
        (default_directory() / "profiles/tls-server.toml").read_text().replace('"**"', '"*.test"')
    )
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(folder=tmp_path, url=plain_url(issuing.context.database)))
    arguments = ["simulate", str(profile), "--config", str(config)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "issued -> refused (PROFILE-NAME-ALLOW)" in result.stdout
    assert "1 requests for tls-server: 1 would be refused" in result.stderr
    report = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert (report["replayed"], report["now_refused"]) == (1, 1)
    assert report["differences"][0]["rule_ids"] == ["PROFILE-NAME-ALLOW"]


def test_check_holds_validity_against_the_authority(issuing, tmp_path):
    issuing.clock.advance(seconds=(SystemClock().now() - issuing.clock.now()).total_seconds())
    profile = tmp_path / "tls-server.toml"
    shipped = (default_directory() / "profiles/tls-server.toml").read_text()
    profile.write_text(shipped.replace('"90d"', '"4000d"').replace('"397d"', '"4000d"'))
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(folder=tmp_path, url=plain_url(issuing.context.database)))
    result = CliRunner().invoke(
        command, ["check", str(profile), "--config", str(config)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "[TEMPLATE-OUTLIVES]" in result.stdout


def plain_url(database):
    return database.engine.url.set(drivername=database.engine.url.get_backend_name()).render_as_string(
        hide_password=False
    )


CONFIG = """\
mode = "rehearsal"
node = "test"
state_directory = "{folder}"
[database]
url = "{url}"
[server]
https = "127.0.0.1:8443"
http = "127.0.0.1:8080"
names = ["localhost"]
tls_key = "{folder}/tls.key"
[publication]
public_url = "http://ca.test:8080"
ocsp_url = "http://ca.test:8081"
[[token]]
label = "issuing"
module = "{folder}/module.so"
pin_file = "{folder}/pin"
[audit]
vkey = "test/log+00000000+AA=="
key = "pkcs11:token=issuing"
anchor = "{folder}/anchor"
"""
