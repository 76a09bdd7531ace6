"""Every bad field of a script is refused by its rule, with its place, before anything opens."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

import pytest

from ca_server.core.errors import CaError, Kind
from ceremony.plan import make_plan
from ceremony.script import parse_script
from ceremony.validity_rules import check_validities

READY = {
    path.name.removesuffix(".toml"): path.read_text()
    for path in (files("ceremony") / "scripts").iterdir()
    if path.name.endswith(".toml")
}
NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
FIRST = "first-hierarchy"
ROOT, ISSUING = "/profiles/root-r1", "/profiles/issuing-i1"
WHOLE = 'lifetime = "7300d"'

# Old text -> new text -> the rule that refuses it -> where, in the script of a first hierarchy.
BAD_FIELDS = [
    ('format = "ceremony/v2"', 'format = "ceremony/v1"', "CEREMONY-VALUE", "/format"),
    ('title = "First', 'titel = "First', "CEREMONY-UNKNOWN-KEY", "/titel"),
    ('title = "First', 'titel = "First', "CEREMONY-MISSING", "/title"),
    ('title = "First', 'title = " First', "CEREMONY-TEXT", "/title"),
    ('title = "First', 'title = "\\u0007First', "CEREMONY-TEXT", "/title"),
    ('title = "First', 'title = "e\\u0301', "CEREMONY-TEXT", "/title"),
    ('id = "first-hierarchy"', 'id = "First Hierarchy"', "CEREMONY-ID", "/id"),
    ('id = "first-hierarchy"', 'id = "short"', "CEREMONY-VALUE", "/id"),
    ('kind = "first-hierarchy"', 'kind = "anything"', "CEREMONY-VALUE", "/kind"),
    ('id = "first-hierarchy"', 'id = "first-hierarchy"\nid = "second-one"', "CEREMONY-TOML", None),
    ("http://localhost:8080", "https://localhost:8080", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://localhost:99999", "CEREMONY-URL", "/publication/public_url"),
    ("http://localhost:8080", "http://host/a?b", "CEREMONY-URL", "/publication/public_url"),
    ('type = "ec-p384"', 'type = "ec-p224"', "CEREMONY-KEY-TYPE", "/keys/root-r1/type"),
    ('label = "root-r1"', 'label = "root r1"', "CEREMONY-LABEL", "/keys/root-r1/label"),
    ('hsm = "root"\ntype', 'hsm = "root"\npin = "1234"\ntype', "CEREMONY-UNKNOWN-KEY", "/keys/root-r1/pin"),
    ('"Example Works Root R1", ', '"", ', "CEREMONY-TEXT", f"{ROOT}/subject/common_name"),
    ('Root R1", ', 'Root R1", country = "de", ', "CEREMONY-COUNTRY", f"{ROOT}/subject/country"),
    (WHOLE, "", "CEREMONY-VALIDITY", ROOT),
    (WHOLE, f"{WHOLE}\nnot_after = 2040-01-01T00:00:00Z", "CEREMONY-VALIDITY", ROOT),
    (WHOLE, 'lifetime = "20y"', "DOCUMENT-DURATION", f"{ROOT}/lifetime"),
    (WHOLE, "not_before = 2027-01-01T00:00:00", "CEREMONY-TIME", f"{ROOT}/not_before"),
    ("path_length = 0", "path_length = -1", "CEREMONY-VALUE", f"{ISSUING}/path_length"),
    (
        "path_length = 0",
        "path_length = 0\nname_constraints = {}",
        "CEREMONY-NAME-CONSTRAINTS",
        f"{ISSUING}/name_constraints",
    ),
    (
        "path_length = 0",
        'name_constraints = { permitted_dns = ["*.example.com"] }',
        "CEREMONY-DNS-NAME",
        f"{ISSUING}/name_constraints/permitted_dns/0",
    ),
    (
        "path_length = 0",
        'name_constraints = { permitted_ip = ["192.0.2.1/24"] }',
        "CEREMONY-NETWORK",
        f"{ISSUING}/name_constraints/permitted_ip/0",
    ),
    ('key = "issuing-i1"\n', "", "CEREMONY-PROFILE", ISSUING),
    ('key = "issuing-i1"\n', 'key = "issuing-i1"\nlike = "root-r1"\n', "CEREMONY-PROFILE", ISSUING),
    ('type = "root"', 'type = "root"\nissuer = "issuing-i1"', "CEREMONY-PROFILE", ROOT),
    ('type = "root"', 'type = "root"\nother_organization = true', "CEREMONY-PROFILE", ROOT),
    ('type = "responder"', 'type = "responder"\npath_length = 0', "CEREMONY-PROFILE", "/profiles/ocsp-i1"),
    ("first = true\n", "", "CEREMONY-CRL-PREVIOUS", "/crls/root-r1-crl"),
    ("localhost/ca-audit/1", "local host+1", "CEREMONY-ORIGIN", "/log/origin"),
    ('["127.0.0.1"', '["127.0.0.256"', "CEREMONY-IP-ADDRESS", "/api_server/ip_addresses/0"),
    ("[api_server]", '[api_server]\nkey_type = "ed25519"', "CEREMONY-KEY-TYPE", "/api_server"),
]

# The same for what parts of a script say of each other; these are found when the plan is made.
BAD_REFERENCES = [
    ('hsm = "root"\ntype', 'hsm = "vault"\ntype', "CEREMONY-REFERENCE", "/keys/root-r1/hsm"),
    ('issuer = "issuing-i1"', 'issuer = "issuing-i9"', "CEREMONY-REFERENCE", "/profiles/ocsp-i1/issuer"),
    ('issuer = "issuing-i1"', 'issuer = "root-r1"', "CEREMONY-ISSUER-KEY", "/profiles/ocsp-i1/issuer_key"),
    ('issuer = "issuing-i1"', 'issuer = "root-r1"', "CEREMONY-RESPONDER", ISSUING),
    ('key = "log-1"\norigin', 'key = "ocsp-i1"\norigin', "CEREMONY-KEY-PURPOSE", "/keys/ocsp-i1"),
    ('key = "log-1"\norigin', 'key = "ocsp-i1"\norigin', "CEREMONY-UNUSED", "/keys/log-1"),
    ("[hsm.log]", "[hsm.log]\n[hsm.spare]", "CEREMONY-UNUSED", "/hsm/spare"),
    ('hsm = "issuing"\ntype', 'hsm = "root"\ntype', "CEREMONY-TOKEN-ROLE", "/hsm/root"),
    ('hsm = "ocsp"\ntype', 'hsm = "issuing"\ntype', "CEREMONY-TOKEN-ROLE", "/hsm/issuing"),
    ("Issuing CA I1", "Root R1", "CEREMONY-SUBJECT-REPEATED", "/profiles"),
    (WHOLE, f"{WHOLE}\npath_length = 0", "CEREMONY-PATH-LENGTH", f"{ISSUING}/path_length"),
    ('type = "ed25519"', 'type = "ec-p384"', "CEREMONY-LOG-KEY", "/log/key"),
    (
        'lifetime = "365d"\n\n[crls',
        'lifetime = "367d"\n\n[crls',
        "CEREMONY-RESPONDER-LIFETIME",
        "/profiles/ocsp-i1",
    ),
    (
        'lifetime = "365d"\nfirst',
        'lifetime = "367d"\nfirst',
        "CEREMONY-CRL-LIFETIME",
        "/crls/root-r1-crl/lifetime",
    ),
    ("[publication]\npublic_url", "[policy2]\npublic_url", "CEREMONY-UNKNOWN-KEY", "/policy2"),
    (
        '[publication]\npublic_url = "http://localhost:8080"\n',
        "",
        "CEREMONY-PUBLICATION",
        ISSUING,
    ),
    ('do = "key.generate"\nkey = "log-1"', 'do = "key.generate"\nkey = "log-2"', "CEREMONY-REFERENCE", None),
    (
        '[[steps]]\nid = "key-log-1"\ndo = "key.generate"\nkey = "log-1"\n\n',
        "",
        "CEREMONY-REFERENCE",
        "/keys/log-1",
    ),
    (
        '[[steps]]\nid = "lint-root-r1"\ndo = "document.lint"\nsubject = "root-r1"\n\n',
        "",
        "CEREMONY-GATE",
        None,
    ),
    ('id = "lint-root-r1"', 'id = "build-root-r1"', "CEREMONY-ID-REPEATED", None),
    ('[[steps]]\nid = "server-key"\ndo = "server-key.make"\n\n', "", "CEREMONY-KIND", "/steps"),
    ('\n[log]\nkey = "log-1"\norigin = "localhost/ca-audit/1"\n', "", "CEREMONY-KIND", None),
    ("quorum = 2", "quorum = 1", "CEREMONY-ROLE", "/roles"),
    ('sign_by = ["key-officer", "internal-witness"]', 'sign_by = ["key-officer"]', "CEREMONY-ROLE", None),
    ("first = true", 'previous = "root-r1"', "CEREMONY-REFERENCE", "/crls/root-r1-crl/previous"),
]

BAD_VALIDITIES = [
    (WHOLE, 'lifetime = "1824d"', "CEREMONY-VALIDITY-ISSUER", ISSUING),
    (
        WHOLE,
        "not_before = 2027-03-02T00:00:00Z\nnot_after = 2047-03-02T00:00:00Z",
        "CEREMONY-CRL-LIFETIME",
        "/crls/root-r1-crl/lifetime",
    ),
    (
        WHOLE,
        "not_before = 2020-03-02T00:00:00Z\nnot_after = 2026-03-02T00:00:00Z",
        "CEREMONY-VALIDITY-PAST",
        ROOT,
    ),
]

MACHINE = '[[steps]]\nid = "machine"\ndo = "environment.verify"\n\n'

INVENTORY = '[[steps]]\nid = "{}"\ndo = "hsm.inventory"\nhsm = "{}"\n\n'

# Kind, old text, new text, rule.
BAD_KINDS = [
    ("root-generate", 'kind = "root-generate"', 'kind = "root-crl"', "CEREMONY-KIND"),
    ("root-crl", 'kind = "root-crl"', 'kind = "cross-csr"', "CEREMONY-KIND"),
    *((kind, MACHINE, "", "CEREMONY-KIND") for kind in READY),
    ("root-crl", INVENTORY.format("root-before", "root"), "", "CEREMONY-KIND"),
    ("root-crl", INVENTORY.format("root-after", "root"), "", "CEREMONY-KIND"),
    ("key-backup", INVENTORY.format("spare-after", "spare"), "", "CEREMONY-KIND"),
    ("root-crl", 'previous = "root-r1-last-crl"', "first = true", "CEREMONY-UNUSED"),
    ("root-crl", 'previous = "root-r1-last-crl"', 'previous = "root-r1"', "CEREMONY-REFERENCE"),
    ("root-generate", '\n[roles.external-witness]\ngroup = "external-witnesses"\n', "", "CEREMONY-ROLE"),
    ("revoke-subordinate", 'change = "CHG-0001"\n', "", "CEREMONY-KIND"),
    ("revoke-subordinate", '"cessationOfOperation"', '"certificateHold"', "CEREMONY-REASON"),
    ("revoke-subordinate", '"cessationOfOperation"', '"unspecified"', "CEREMONY-REASON"),
    ("revoke-subordinate", '"internal-witness", "incident-owner"]', '"internal-witness"]', "CEREMONY-GATE"),
    ("revoke-subordinate", 'certificate = "issuing-i1"', 'certificate = "issuing-i9"', "CEREMONY-REFERENCE"),
    ("intermediate-sign", 'request = "issuing-i2-csr"', 'request = "root-r1"', "CEREMONY-REFERENCE"),
    ("intermediate-sign", "existing = true\n", "", "CEREMONY-REFERENCE"),
    ("cross-sign", 'request = "root-x1-csr"\n', "", "CEREMONY-PROFILE"),
    ("cross-sign", 'type = "cross"', 'type = "cross"\npath_length = 0', "CEREMONY-PROFILE"),
    ("cross-csr", 'like = "root-r1"\n', "", "CEREMONY-PROFILE"),
    ("rotate", 'type = "link"', 'type = "link"\nlifetime = "1d"', "CEREMONY-VALIDITY"),
    (
        "rotate",
        '["root-r1-by-root-r2", "root-r2"]',
        '["root-r1-by-root-r3", "root-r2"]',
        "CEREMONY-REFERENCE",
    ),
    ("delegated-signer", 'hsm = "log"\ntype', 'hsm = "ocsp"\ntype', "CEREMONY-TOKEN-ROLE"),
    ("delegated-signer", 'label = "log-2"', 'label = "ocsp-i1-2"', None),
    (
        "subordinate-key",
        'label = "issuing-i2"',
        'label = "issuing-i2"\nexisting = true',
        "CEREMONY-REFERENCE",
    ),
]


def changed(kind: str, old: str, new: str) -> bytes:
    text = READY[kind]
    assert old in text, old
    return text.replace(old, new, 1).encode()


def refusal(call, *arguments) -> CaError:
    with pytest.raises(CaError) as error:
        call(*arguments)
    assert error.value.kind is Kind.MALFORMED
    return error.value


def require(error: CaError, rule_id: str, pointer: str | None) -> None:
    found = {(each.rule_id, each.pointer) for each in error.violations}
    if pointer is None:
        assert rule_id in error.rule_ids
    else:
        assert (rule_id, pointer) in found


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_FIELDS)
def test_bad_fields(old, new, rule_id, pointer):
    error = refusal(parse_script, changed(FIRST, old, new))
    found = [(each.rule_id, (each.pointer or "").replace("/ceremony/v2", "")) for each in error.violations]
    assert any(rule == rule_id and (pointer is None or place.startswith(pointer)) for rule, place in found), (
        found
    )


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_REFERENCES)
def test_bad_references(old, new, rule_id, pointer):
    require(refusal(make_plan, changed(FIRST, old, new)), rule_id, pointer)


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_VALIDITIES)
def test_bad_validities(old, new, rule_id, pointer):
    plan = make_plan(changed(FIRST, old, new))
    require(refusal(check_validities, plan.script, NOW), rule_id, pointer)


@pytest.mark.parametrize(("kind", "old", "new", "rule_id"), BAD_KINDS)
def test_bad_kinds(kind, old, new, rule_id):
    if rule_id is None:
        assert make_plan(changed(kind, old, new)).script.kind == kind
    else:
        require(refusal(make_plan, changed(kind, old, new)), rule_id, None)


def test_two_keys_of_one_label_in_one_device():
    text = READY["rotate"].replace('label = "root-r2"', 'label = "root-r1"')
    require(refusal(make_plan, text.encode()), "CEREMONY-LABEL-REPEATED", "/keys")


def test_an_emergency_needs_no_announced_change():
    text = READY["revoke-subordinate"].replace('change = "CHG-0001"\n', "")
    text = text.replace('previous = "root-r1-last-crl"', 'previous = "root-r1-last-crl"\nemergency = true')
    assert make_plan(text.encode()).script.crls["root-r1-crl"].emergency


def test_the_digest_is_of_the_bytes():
    assert make_plan(READY[FIRST].encode()).sha256 != make_plan(READY[FIRST].encode() + b"\n").sha256


def test_a_script_that_is_too_large():
    require(refusal(parse_script, READY[FIRST].encode() + b"#" * 300_000), "CEREMONY-SIZE", None)
