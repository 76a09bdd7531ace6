"""Profiles that are well-formed and dangerous are named as such (R30, R40)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca_server.core.lints import Severity
from ca_server.core.profile_lints import lint_profile
from tests.fakes.paper_authority import policies
from tests.fakes.paper_profiles import own_profile

EKU = 'extended_key_usage = ["server_auth"]'
CA = (
    'key_usage = ["digital_signature"]\nextended_key_usage = ["server_auth"]',
    'key_usage = ["key_cert_sign"]\nca = true',
)
FREE_NAME = '[subject.common_name]\nsource = "csr"'
CLIENT = (EKU, 'extended_key_usage = ["client_auth"]')


def found(profile, severity=Severity.ERROR, **more):
    return {each.code for each in lint_profile(profile, **more) if each.severity is severity}


def test_the_shipped_profiles_have_no_errors_and_no_warnings():
    for name in policies().names:
        profile = policies().profile(name)
        assert found(profile) == set()
        assert found(profile, Severity.WARNING) == set()


def test_r40_free_identity_for_requesters_is_an_error():
    assert found(own_profile(FREE_NAME, purpose=CLIENT)) == {"TEMPLATE-IDENTITY"}


@pytest.mark.parametrize(
    "subject",
    [
        FREE_NAME + '\nnames = ["dns"]',
        FREE_NAME + '\nallow = ["web-*"]',
        '[subject.common_name]\nsource = "fixed"\nvalues = ["web"]',
    ],
)
def test_r40_bound_identity_is_not(subject):
    assert found(own_profile(subject, purpose=CLIENT)) == set()


def test_r40_officers_may_name_freely():
    officers = ('roles = ["requester", "officer"]', 'roles = ["officer"]')
    assert found(own_profile(FREE_NAME, purpose=CLIENT, who=officers)) == set()


@pytest.mark.parametrize("purposes", ['extended_key_usage = ["any"]', ""])
def test_r40_a_certificate_good_for_everything_is_an_error(purposes):
    assert "TEMPLATE-ANY-PURPOSE" in found(own_profile("", purpose=(EKU, purposes)))


def test_r40_an_enrolment_agent_is_an_error_without_approvals():
    agent = (EKU, 'extended_key_usage = ["1.3.6.1.4.1.311.20.2.1"]')
    assert found(own_profile("", purpose=agent)) == {"TEMPLATE-AGENT"}
    approved = ('protocols = ["rest"]', 'protocols = ["rest"]\napprovals = 1')
    profile = own_profile("", purpose=agent, approved=approved)
    assert found(profile) == set()
    assert found(profile, Severity.WARNING) == {"TEMPLATE-AGENT"}


def test_an_authority_for_the_asking_is_an_error():
    profile = own_profile("", ca=CA)
    assert found(profile) == {"TEMPLATE-AUTHORITY"}
    assert len([each for each in lint_profile(profile) if each.severity is Severity.ERROR]) == 3


def test_servers_do_not_sign_code():
    mixed = (EKU, 'extended_key_usage = ["server_auth", "code_signing"]')
    assert found(own_profile("", purpose=mixed), Severity.WARNING) == {"TEMPLATE-MIXED"}


def test_a_responder_is_not_for_requesters_and_nocheck_not_for_others():
    responder = (EKU, 'extended_key_usage = ["ocsp_signing"]')
    assert found(own_profile("", purpose=responder)) == {"TEMPLATE-RESPONDER"}
    hidden = (EKU, EKU + "\nocsp_nocheck = true")
    assert found(own_profile("", purpose=hidden)) == {"TEMPLATE-RESPONDER"}


def test_a_certificate_whose_revocation_nobody_sees_is_an_error():
    blind = (EKU, EKU + "\nocsp = false\ncrl_distribution_point = false")
    assert found(own_profile("", purpose=blind)) == {"TEMPLATE-STATUS"}


def test_every_other_name_is_an_error():
    opaque = ("[extensions]", '[names.other]\nallow = ["*"]\n[extensions]')
    assert found(own_profile("", names=opaque)) == {"TEMPLATE-OPAQUE"}


def test_wildcards_everywhere_and_long_lives_are_noticed():
    everywhere = ('allow = ["**.example.com"]', 'allow = ["**"]')
    assert found(own_profile("", names=everywhere), Severity.NOTICE) == {"TEMPLATE-WILDCARD"}
    long = ('max = "90d"', 'max = "1000d"')
    assert found(own_profile("", life=long), Severity.NOTICE) == {"TEMPLATE-LONG-LIFE"}


def test_a_default_beyond_the_issuers_life_is_a_warning():
    profile = policies().profile("tls-server")
    assert found(profile, Severity.WARNING, issuer_life=timedelta(days=89)) == {"TEMPLATE-OUTLIVES"}
    assert found(profile, Severity.WARNING, issuer_life=timedelta(days=90)) == set()
