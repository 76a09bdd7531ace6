"""A profile's file is read strictly: every key known, every value in range, all faults told at once."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest

from ca_server.core.authorization import Role
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import IdentifierType
from ca_server.core.profile import parse_profile
from ca_server.core.profile_words import purpose_oid, subtree_name
from tests.fakes.paper_profiles import own_profile

SMALL = """\
name = "small"
description = "The least a profile says."
[requesters]
roles = ["requester"]
protocols = ["rest"]
[keys]
allowed = ["ec-p256"]
[validity]
default = "24h"
max = "90d"
[names.dns]
allow = ["*.example.com"]
[extensions]
key_usage = ["digital_signature"]
"""


def parse(text):
    return parse_profile(text.encode(), source="small.toml")


def refused(text):
    with pytest.raises(CaError) as caught:
        parse(text)
    assert caught.value.kind is Kind.MALFORMED
    return [(each.rule_id, each.pointer) for each in caught.value.violations]


def test_what_is_not_said_is_strict():
    profile = parse(SMALL)
    assert profile.requesters.roles == (Role.REQUESTER,)
    assert profile.requesters.approvals == 0
    assert profile.validity.backdate == timedelta(minutes=1)
    assert profile.subject == {}
    assert (profile.names.min, profile.names.wildcard, profile.names.underscore) == (1, False, False)
    assert profile.names.of_type(IdentifierType.IP) is None
    assert profile.names.of_type(IdentifierType.REGISTERED_ID) is None
    rules = profile.extensions
    assert (rules.ca, rules.must_staple, rules.ocsp_nocheck) == (False, False, False)
    assert rules.crl_distribution_point
    assert rules.ocsp


def test_the_digest_is_that_of_the_files_bytes():
    profile = parse(SMALL)
    assert profile.sha256 == hashlib.sha256(SMALL.encode()).hexdigest()
    assert parse(SMALL) == profile
    assert parse(SMALL + "# another comment\n") != profile
    assert hash(parse(SMALL)) == hash(profile)


def test_nothing_in_a_profile_can_be_changed():
    with pytest.raises(Exception, match="frozen"):
        parse(SMALL).name = "other"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "small"', 'name = "small"\ncolour = 1', ("PROFILE-UNKNOWN-KEY", "/colour")),
        ("[keys]", "[keys]\nminimum = 1", ("PROFILE-UNKNOWN-KEY", "/keys/minimum")),
        ('name = "small"', 'name = "Small!"', ("PROFILE-VALUE", "/name")),
        ('name = "small"\n', "", ("PROFILE-MISSING", "/name")),
        ('"ec-p256"', '"ec-p255"', ("PROFILE-VALUE", "/keys/allowed/0")),
        ('allowed = ["ec-p256"]', "allowed = []", ("PROFILE-VALUE", "/keys/allowed")),
        ('"24h"', '"1 day"', ("DOCUMENT-DURATION", "/validity/default")),
        ('"24h"', '"91d"', ("PROFILE-VALIDITY", "/validity")),
        ('max = "90d"', 'max = "90d"\nbackdate = "2d"', ("PROFILE-VALIDITY", "/validity")),
        ('"*.example.com"', '"a*.example.com"', ("NAME-PATTERN", "/names/dns")),
        ('allow = ["*.example.com"]', "allow = []", ("PROFILE-VALUE", "/names/dns/allow")),
        ('["requester"]', '["auditor"]', ("PROFILE-AUDITOR", "/requesters")),
        ('["requester"]', '["root"]', ("PROFILE-VALUE", "/requesters/roles/0")),
        ('["digital_signature"]', '["key_cert_sign"]', ("PROFILE-CA", "/extensions")),
        ('["digital_signature"]', '["digital_signature"]\nca = true', ("PROFILE-CA", "/extensions")),
        ('["digital_signature"]', '["digital_signature"]\npath_length = 0', ("PROFILE-CA", "/extensions")),
        ('["digital_signature"]', '["sign_all"]', ("PROFILE-VALUE", "/extensions/key_usage/0")),
        (
            '["digital_signature"]',
            '["digital_signature"]\nextended_key_usage = ["server"]',
            ("PROFILE-EKU-WORD", "/extensions/extended_key_usage/0"),
        ),
        (
            '["digital_signature"]',
            '["digital_signature"]\nmust_staple = true\nocsp = false',
            ("PROFILE-STAPLE", "/extensions"),
        ),
        (
            '["digital_signature"]',
            '["digital_signature"]\nca = 1',
            ("PROFILE-VALUE", "/extensions/ca"),
        ),
        (
            "[names.dns]",
            '[subject.shoe_size]\nsource = "csr"\n[names.dns]',
            ("PROFILE-VALUE", "/subject/shoe_size/[key]"),
        ),
        (
            "[names.dns]",
            '[subject.common_name]\nsource = "thin air"\n[names.dns]',
            ("PROFILE-VALUE", "/subject/common_name"),
        ),
        (
            "[names.dns]",
            '[subject.organization]\nsource = "fixed"\nvalues = []\n[names.dns]',
            ("PROFILE-VALUE", "/subject/organization/fixed/values"),
        ),
    ],
)
def test_each_fault_is_told_with_its_rule_and_place(old, new, expected):
    assert old in SMALL
    assert expected in refused(SMALL.replace(old, new, 1))


def test_a_key_that_the_server_makes_waits_for_no_approvals():
    with pytest.raises(CaError) as caught:
        own_profile(
            requesters=('protocols = ["rest"]', 'protocols = ["est"]\napprovals = 1'),
            keys=("[extensions]", '[est]\nserver_keys = ["ec-p256"]\n[extensions]'),
        )
    assert caught.value.rule_ids == ("PROFILE-SERVER-KEYS",)


def test_all_faults_are_told_at_once():
    text = SMALL.replace('"ec-p256"', '"ec-p255"').replace('"24h"', '"soon"')
    assert {("PROFILE-VALUE", "/keys/allowed/0"), ("DOCUMENT-DURATION", "/validity/default")} <= set(
        refused(text)
    )


def test_bytes_that_are_no_toml_or_too_many_are_refused():
    assert refused("name = ") == [("PROFILE-TOML", None)]
    assert refused("#" * (MAX_DOCUMENT_BYTES + 1)) == [("PROFILE-SIZE", None)]


def test_a_bad_subtree_is_refused():
    text = SMALL.replace('["digital_signature"]', '["key_cert_sign"]\nca = true') + (
        '[extensions.name_constraints]\npermitted = ["dns:example.com", "x400:a"]\n'
    )
    assert refused(text) == [("PROFILE-SUBTREE", "/extensions/name_constraints/permitted/1")]


@pytest.mark.parametrize(
    "text", ["dns:example.com", "ip:10.0.0.0/8", "email:example.com", "uri:.example.com"]
)
def test_a_subtree_becomes_a_general_name(text):
    assert str(subtree_name(text).value) == text.partition(":")[2]


def test_a_purpose_is_a_word_or_an_oid():
    assert purpose_oid("server_auth").dotted_string == "1.3.6.1.5.5.7.3.1"
    assert purpose_oid("1.2.3.4").dotted_string == "1.2.3.4"


def test_a_refusal_does_not_repeat_the_files_values():
    with pytest.raises(CaError) as caught:
        parse(SMALL.replace('"ec-p256"', '"hunter2"'))
    assert not re.search("hunter2", caught.value.detail)
