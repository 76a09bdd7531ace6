"""Every bad field of a script is refused by its rule, with its place, before anything opens."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from importlib.resources import files

import pytest

from ca_server.core.errors import CaError, Kind
from ceremony.plan import make_plan
from ceremony.script import parse_script

READY = (files("ceremony") / "scripts" / "first-hierarchy.toml").read_text()
NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)

# Old text -> new text -> the rule that refuses it -> where.
BAD_FIELDS = [
    ('format = "ceremony/v1"', 'format = "ceremony/v2"', "CEREMONY-VALUE", "/format"),
    ('title = "First', 'titel = "First', "CEREMONY-UNKNOWN-KEY", "/titel"),
    ('title = "First', 'titel = "First', "CEREMONY-MISSING", "/title"),
    ('title = "First', 'title = " First', "CEREMONY-TEXT", "/title"),
    ('title = "First', 'title = "\\u0007First', "CEREMONY-TEXT", "/title"),
    ('title = "First', 'title = "e\\u0301', "CEREMONY-TEXT", "/title"),
    ('title = "First hierarchy', f'title = "{"x" * 60}', "CEREMONY-VALUE", "/title"),
    ('id = "first-hierarchy"', 'id = "First Hierarchy"', "CEREMONY-ID", "/id"),
    ('id = "first-hierarchy"', 'id = "short"', "CEREMONY-VALUE", "/id"),
    ('id = "first-hierarchy"', 'id = "trailing-"', "CEREMONY-ID", "/id"),
    ('kind = "first-hierarchy"', 'kind = "anything"', "CEREMONY-VALUE", "/kind"),
    ('"ocsp", "log"]', '"ocsp", 4]', "CEREMONY-VALUE", "/tokens/3"),
    ("http://localhost:8080", "https://localhost:8080", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://localhost:8080/", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://localhost:99999", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://[::1", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://user@host", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://host/a?b", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "ldap://host", "CEREMONY-URL", "/publication/public_url"),
    ("[publication]", "[publication]\nports = 1", "CEREMONY-UNKNOWN-KEY", "/publication/ports"),
    ('type = "ec-p384"', 'type = "ec-p224"', "CEREMONY-KEY-TYPE", "/keys/root-r1/type"),
    ('type = "ec-p384"', "type = 384", "CEREMONY-KEY-TYPE", "/keys/root-r1/type"),
    ('label = "root-r1"', 'label = "root r1"', "CEREMONY-LABEL", "/keys/root-r1/label"),
    ('label = "root-r1"', f'label = "{"r" * 33}"', "CEREMONY-LABEL", "/keys/root-r1/label"),
    ('label = "root-r1"', 'label = ""', "CEREMONY-LABEL", "/keys/root-r1/label"),
    (
        'token = "root"\n',
        'token = "root"\nextractable = true\n',
        "CEREMONY-UNKNOWN-KEY",
        "/keys/root-r1/extractable",
    ),
    ('token = "root"\n', 'token = "root"\npin = "1234"\n', "CEREMONY-UNKNOWN-KEY", "/keys/root-r1/pin"),
    (
        '"Example Works Root R1", ',
        '"Example Works Root R1", country = "de", ',
        "CEREMONY-COUNTRY",
        "/root/subject/country",
    ),
    ('"Example Works Root R1", ', '"", ', "CEREMONY-TEXT", "/root/subject/common_name"),
    ('lifetime = "7300d"', "", "CEREMONY-VALIDITY", "/root"),
    (
        'lifetime = "7300d"',
        'lifetime = "7300d"\nnot_after = 2040-01-01T00:00:00Z',
        "CEREMONY-VALIDITY",
        "/root",
    ),
    ('lifetime = "7300d"', "not_before = 2027-01-01T00:00:00Z", "CEREMONY-VALIDITY", "/root"),
    ('lifetime = "7300d"', 'lifetime = "20y"', "DOCUMENT-DURATION", "/root/lifetime"),
    ('lifetime = "7300d"', "lifetime = 7300", "DOCUMENT-DURATION", "/root/lifetime"),
    ('lifetime = "7300d"', 'lifetime = "9999999d"', "CEREMONY-VALUE", "/root/lifetime"),
    ('lifetime = "7300d"', "not_before = 2027-01-01T00:00:00", "CEREMONY-TIME", "/root/not_before"),
    ('lifetime = "7300d"', "not_before = 2027-01-01", "CEREMONY-VALUE", "/root/not_before"),
    ('lifetime = "7300d"', "not_before = 2027-01-01T00:00:00.5Z", "CEREMONY-TIME", "/root/not_before"),
    ('lifetime = "7300d"', "not_before = 0001-01-01T00:00:00+10:00", "CEREMONY-TIME", "/root/not_before"),
    ("path_length = 1", "path_length = -1", "CEREMONY-VALUE", "/root/path_length"),
    ("path_length = 1", "path_length = true", "CEREMONY-VALUE", "/root/path_length"),
    ('crl = { lifetime = "365d" }', "crl = { }", "CEREMONY-MISSING", "/root/crl/lifetime"),
    (
        "path_length = 0",
        "path_length = 0\nname_constraints = {}",
        "CEREMONY-NAME-CONSTRAINTS",
        "/issuing/0/name_constraints",
    ),
    (
        "path_length = 0",
        'path_length = 0\nname_constraints = { permitted_dns = ["*.example.com"] }',
        "CEREMONY-DNS-NAME",
        "/issuing/0/name_constraints/permitted_dns/0",
    ),
    (
        "path_length = 0",
        'path_length = 0\nname_constraints = { permitted_dns = [".example.com"] }',
        "CEREMONY-DNS-NAME",
        "/issuing/0/name_constraints/permitted_dns/0",
    ),
    (
        "path_length = 0",
        'path_length = 0\nname_constraints = { permitted_ip = ["192.0.2.1/24"] }',
        "CEREMONY-NETWORK",
        "/issuing/0/name_constraints/permitted_ip/0",
    ),
    ("localhost/ca-audit/1", "local host+1", "CEREMONY-ORIGIN", "/log/origin"),
    ('["localhost"]', '["LOCALHOST"]', "CEREMONY-DNS-NAME", "/api_server/dns_names/0"),
    ('["localhost"]', "[]", "CEREMONY-VALUE", "/api_server/dns_names"),
    ('"127.0.0.1"', '"127.0.0.256"', "CEREMONY-IP-ADDRESS", "/api_server/ip_addresses/0"),
    ('"::1"', '"0::1"', "CEREMONY-IP-ADDRESS", "/api_server/ip_addresses/1"),
    ("[api_server]", '[api_server]\nkey_type = "ed25519"', "CEREMONY-KEY-TYPE", "/api_server"),
    ("[api_server]", '[api_server]\nkey_path = "/tmp/x"', "CEREMONY-UNKNOWN-KEY", "/api_server/key_path"),
]

# The same for what parts of a script say of each other; these are found when the plan is made.
BAD_REFERENCES = [
    (
        'authority = "issuing-i1"\nkey = "ocsp-i1"',
        'authority = "issuing-i1"\nkey = "ocsp-i2"',
        "CEREMONY-REFERENCE",
        "/responders/0/key",
    ),
    ('token = "root"', 'token = "vault"', "CEREMONY-REFERENCE", "/keys/root-r1/token"),
    ('authority = "issuing-i1"', 'authority = "root-r1"', "CEREMONY-REFERENCE", "/responders/0/authority"),
    ('authority = "issuing-i1"', 'authority = "root-r1"', "CEREMONY-RESPONDER", "/issuing/0"),
    ('key = "log-1"\norigin', 'key = "ocsp-i1"\norigin', "CEREMONY-KEY-PURPOSE", "/keys/ocsp-i1"),
    ('key = "log-1"\norigin', 'key = "ocsp-i1"\norigin', "CEREMONY-UNUSED", "/keys/log-1"),
    ('"ocsp", "log"]', '"ocsp", "log", "spare"]', "CEREMONY-UNUSED", "/tokens"),
    ('"ocsp", "log"]', '"ocsp", "log", "log"]', "CEREMONY-ID-REPEATED", "/tokens"),
    ('token = "issuing"', 'token = "root"', "CEREMONY-TOKEN-ROLE", "/tokens"),
    ('token = "ocsp"', 'token = "issuing"', "CEREMONY-TOKEN-ROLE", "/tokens"),
    (
        'token = "issuing"\ntype = "ec-p256"\nlabel = "issuing-i1"',
        'token = "root"\ntype = "ec-p256"\nlabel = "root-r1"',
        "CEREMONY-LABEL-REPEATED",
        "/keys",
    ),
    ('id = "issuing-i1"', 'id = "root-r1"', "CEREMONY-ID-REPEATED", "/issuing"),
    ("Example Works Issuing CA I1", "Example Works Root R1", "CEREMONY-SUBJECT-REPEATED", "/issuing"),
    ("path_length = 1", "path_length = 0", "CEREMONY-PATH-LENGTH", "/issuing/0/path_length"),
    ('type = "ed25519"', 'type = "ec-p384"', "CEREMONY-LOG-KEY", "/log/key"),
    ('lifetime = "7300d"', 'lifetime = "1824d"', "CEREMONY-VALIDITY-ISSUER", "/issuing/0"),
    ('\nlifetime = "365d"', '\nlifetime = "1826d"', "CEREMONY-VALIDITY-ISSUER", "/responders/0"),
    ('\nlifetime = "365d"', '\nlifetime = "367d"', "CEREMONY-RESPONDER-LIFETIME", "/responders/0"),
    ('{ lifetime = "365d"', '{ lifetime = "367d"', "CEREMONY-CRL-LIFETIME", "/root/crl/lifetime"),
    (
        'lifetime = "7300d"',
        "not_before = 2027-03-02T00:00:00Z\nnot_after = 2047-03-02T00:00:00Z",
        "CEREMONY-CRL-LIFETIME",
        "/root/crl/lifetime",
    ),
    (
        'lifetime = "7300d"',
        "not_before = 2020-03-02T00:00:00Z\nnot_after = 2026-03-02T00:00:00Z",
        "CEREMONY-VALIDITY-PAST",
        "/root",
    ),
    (
        'lifetime = "7300d"',
        "not_before = 2047-03-02T00:00:00Z\nnot_after = 2037-03-02T00:00:00Z",
        "CEREMONY-VALIDITY-PAST",
        "/root",
    ),
]


def changed(old: str, new: str) -> bytes:
    assert old in READY
    return READY.replace(old, new, 1).encode()


def refused_rules(call, *arguments) -> set[tuple[str, str | None]]:
    with pytest.raises(CaError) as refused:
        call(*arguments)
    assert refused.value.kind is Kind.MALFORMED
    return {(each.rule_id, each.pointer) for each in refused.value.violations}


def test_the_ready_script_is_good():
    script = parse_script(READY.encode())
    assert script.root.path_length == 1
    assert [step.id for step in make_plan(READY.encode(), NOW).steps] == [
        "key.root-r1",
        "key.issuing-i1",
        "key.ocsp-i1",
        "key.log-1",
        "authority.root-r1",
        "authority.issuing-i1",
        "responder.issuing-i1",
        "crl.root-r1",
        "api-server",
    ]


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_FIELDS)
def test_a_bad_field_is_refused(old, new, rule_id, pointer):
    assert (rule_id, pointer) in refused_rules(parse_script, changed(old, new))


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_REFERENCES)
def test_a_bad_reference_is_refused(old, new, rule_id, pointer):
    source = changed(old, new)
    parse_script(source)
    assert (rule_id, pointer) in refused_rules(make_plan, source, NOW)


@pytest.mark.parametrize(
    ("data", "rule_id"),
    [
        (b"", "CEREMONY-MISSING"),
        (b"\xff", "CEREMONY-TOML"),
        (b"format = ", "CEREMONY-TOML"),
        (b'id = "a"\nid = "b"', "CEREMONY-TOML"),
        (b"a = " + b"[" * 100_000, "CEREMONY-TOML"),
        (b"a = " + b"9" * 5000, "CEREMONY-TOML"),
        (b"#" * (256 * 1024 + 1), "CEREMONY-SIZE"),
    ],
)
def test_what_is_no_script_is_refused(data, rule_id):
    assert rule_id in {each for each, _ in refused_rules(parse_script, data)}


def test_a_table_missing_anywhere_is_refused():
    whole = tomllib.loads(READY)
    for name in whole:
        lines, skipping = [], False
        for line in READY.splitlines():
            if line.startswith("["):
                skipping = line.strip("[]").split(".")[0] == name
            if not skipping and not line.startswith(f"{name} ="):
                lines.append(line)
        found = refused_rules(parse_script, "\n".join(lines).encode())
        assert ("CEREMONY-MISSING", f"/{name}") in found


def test_all_that_is_wrong_is_said_at_once():
    source = READY.replace("ec-p384", "ec-p224").replace("ed25519", "ed448").replace("7300d", "long")
    found = {rule_id for rule_id, _ in refused_rules(parse_script, source.encode())}
    assert found == {"CEREMONY-KEY-TYPE", "DOCUMENT-DURATION"}


def test_dates_may_stand_in_the_place_of_a_lifetime():
    dates = "not_before = 2027-01-01T00:00:00+01:00\nnot_after = 2047-01-01T00:00:00Z"
    plan = make_plan(changed('lifetime = "7300d"', dates), NOW)
    root = next(step for step in plan.steps if step.id == "authority.root-r1")
    assert str(root.period) == "2026-12-31T23:00:00Z to 2047-01-01T00:00:00Z"
