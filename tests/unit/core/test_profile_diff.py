"""Two profiles are compared by what they grant, and editors get a schema that the shipped files keep."""

from __future__ import annotations

import tomllib

import jsonschema_rs
import pytest

from ca_server.core.profile_diff import Change, describe, diff_profiles, fields_of, profile_schema
from ca_server.policy_store import default_directory
from tests.fakes.paper_authority import policies
from tests.fakes.paper_profiles import own_profile

SHIPPED = sorted((default_directory() / "profiles").glob("*.toml"))


def test_files_that_grant_the_same_do_not_differ():
    reordered = own_profile("", who=('roles = ["requester", "officer"]', 'roles = ["officer", "requester"]'))
    spelled = own_profile("", life=('max = "90d"', 'max = "2160h"'))
    assert diff_profiles(own_profile(), reordered) == ()
    assert diff_profiles(own_profile(), spelled) == ()


def test_each_field_that_differs_is_told():
    after = own_profile(
        '[subject.organization]\nsource = "fixed"\nvalues = ["Example"]',
        life=('max = "90d"', 'max = "36h"'),
        names=('allow = ["10.0.0.0/8"]', 'allow = ["10.0.0.0/8", "192.168.0.0/16"]'),
    )
    assert diff_profiles(own_profile(), after) == (
        Change("names.ip.allow", ["10.0.0.0/8"], ["10.0.0.0/8", "192.168.0.0/16"]),
        Change("subject.organization.source", None, "fixed"),
        Change("subject.organization.values", None, ["Example"]),
        Change("validity.max", "90d", "36h"),
    )


def test_a_description_holds_plain_values_alone():
    described = describe(policies().profile("tls-server"))
    assert described["validity"] == {"default": "90d", "max": "397d", "backdate": "5m"}
    assert type(described["requesters"]["roles"][0]) is str
    assert type(described["keys"]["allowed"][0]) is str
    assert fields_of(policies().profile("tls-server"))["names.dns.allow"] == ["**"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_files_keep_to_the_schema(path):
    jsonschema_rs.validate(profile_schema(), tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"90d"', '"P90D"'),
        ("[keys]", "[keys]\ncolour = 1"),
        ('allowed = ["ec-p256", "ec-p384", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"]', "allowed = []"),
        ('source = "csr"', 'source = "air"'),
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(old, new):
    text = (default_directory() / "profiles/tls-server.toml").read_text()
    assert old in text
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(profile_schema(), tomllib.loads(text.replace(old, new, 1)))
