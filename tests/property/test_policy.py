"""Whatever is asked for: nothing unauthorized is granted, and a stricter profile never grants more."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.authorization import Role
from ca_server.core.errors import CaError
from ca_server.core.identifiers import identifier_of, parse_identifier
from ca_server.core.lints.house import lint_house
from ca_server.core.policy import CertificateFields, decide
from ca_server.core.signatures import KeyType
from ca_server.core.tbs import build_certificate
from tests.fakes.paper_authority import (
    NOW,
    SERIAL,
    authorize,
    dns,
    ip,
    make_csr,
    make_facts,
    make_issuer,
    make_key,
    subject,
)
from tests.fakes.paper_profiles import own_profile

POOL = [
    *dns("a.example.com", "b.example.com", "*.c.example.com", "secret.example.com"),
    *dns("a_b.example.com", "a.example.org"),
    *ip("10.0.0.1", "192.0.2.1"),
    x509.RFC822Name("bob@example.com"),
]
NAMES = st.lists(st.sampled_from(POOL), unique=True, max_size=4)
SUBJECT = st.sampled_from(
    [{}, {"common_name": "a.example.com"}, {"common_name": "x"}, {"organization_name": "Example"}]
)
TIMES = st.fixed_dictionaries(
    {
        "not_after": st.none() | st.integers(-2, 120).map(lambda days: NOW + timedelta(days=days)),
        "not_before": st.none() | st.integers(-10, 10).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    }
)
KEY = st.sampled_from([KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048])

# Each makes the profile of `own_profile` stricter in one respect.
STRICTER = {
    "roles": ('roles = ["requester", "officer"]', 'roles = ["officer"]'),
    "keys": ('allowed = ["ec-p256", "rsa-2048"]', 'allowed = ["rsa-2048"]'),
    "life": ('max = "90d"', 'max = "30d"'),
    "backdate": ('backdate = "5m"', 'backdate = "1m"'),
    "wildcard": ("wildcard = true", "wildcard = false"),
    "allow": ('allow = ["**.example.com"]', 'allow = ["*.example.com"]'),
    "deny": ('deny = ["secret.example.com"]', 'deny = ["secret.example.com", "a.example.com"]'),
    "count": ("max = 3", "max = 1"),
    "address": ('allow = ["10.0.0.0/8"]', 'allow = ["10.1.0.0/16"]'),
    "approvals": ('protocols = ["rest"]', 'protocols = ["rest"]\napprovals = 1'),
}
COMMON_NAME = '[subject.common_name]\nsource = "csr"\nnames = ["dns"]'
LOOSE = own_profile(COMMON_NAME)


@st.composite
def requests(draw):
    csr = make_csr(draw(NAMES), name=subject(**draw(SUBJECT)), key=make_key(draw(KEY)))
    # Sometimes what was authorized is not what the CSR says.
    authorized = draw(st.one_of(st.just(csr.identifiers), NAMES.map(identifiers)))
    role = draw(st.sampled_from(Role))
    return csr, authorize(csr, "own", role=role, identifiers=authorized), draw(TIMES)


def identifiers(names):
    return frozenset(identifier_of(name) for name in names)


def outcome(profile, request):
    csr, authorization, times = request
    try:
        return decide(csr, authorization, profile, make_facts(), **times)
    except CaError as refusal:
        return refusal


def stricter(respects):
    return own_profile(COMMON_NAME, **{each: STRICTER[each] for each in respects})


@given(requests())
def test_r5_r6_what_is_granted_is_what_was_authorized(request):
    fields = outcome(LOOSE, request)
    if not isinstance(fields, CertificateFields):
        return
    csr, authorization, _ = request
    assert set(fields.identifiers) == authorization.identifiers == csr.identifiers
    assert authorization.principal.role in LOOSE.requesters.roles
    assert all(parse_identifier(f"dns:{each.value}") in authorization.identifiers for each in fields.subject)
    assert fields.not_after <= make_issuer().certificate.not_valid_after_utc
    assert NOW < fields.not_after < NOW + timedelta(days=90, minutes=5)
    unsigned = build_certificate(fields, make_issuer(), SERIAL)
    assert lint_house(unsigned, fields, make_issuer()) == ()


@given(requests(), st.sets(st.sampled_from(sorted(STRICTER))))
def test_a_stricter_profile_never_grants_more(request, respects):
    if isinstance(outcome(stricter(respects), request), CertificateFields):
        assert isinstance(outcome(LOOSE, request), CertificateFields)


@given(requests(), st.sets(st.sampled_from(sorted(STRICTER))))
def test_a_stricter_profile_refuses_for_every_reason_of_the_looser(request, respects):
    loose = outcome(LOOSE, request)
    if isinstance(loose, CaError):
        assert all(each.detail for each in loose.violations)
        assert set(loose.rule_ids) <= set(outcome(stricter(respects), request).rule_ids)
