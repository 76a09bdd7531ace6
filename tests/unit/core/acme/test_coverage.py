"""Which authorization stands for which name: nothing covers by likeness."""

from __future__ import annotations

from itertools import product

import pytest

from ca_server.core.acme.coverage import (
    Scope,
    covers,
    is_proven_by,
    needed_scope,
    proven_names,
    usable_challenges,
)
from ca_server.core.acme.resources import (
    Challenge,
    ChallengeType,
    NameAuthorization,
    OrderName,
    Status,
)
from ca_server.core.identifiers import Identifier, IdentifierType

ALL = tuple(ChallengeType)
DNS = IdentifierType.DNS


def dns(value: str) -> Identifier:
    return Identifier(DNS, value)


def authorization(
    value: str,
    *,
    wildcard: bool = False,
    subdomains: bool = False,
    status: Status = Status.VALID,
    evidence: int | None = 1,
    proven_by: ChallengeType = ChallengeType.DNS_01,
) -> NameAuthorization:
    challenges = tuple(
        Challenge(
            id=each.value,
            type=each,
            token="token",
            status=Status.VALID if each is proven_by else Status.PENDING,
            error=None,
            validated_at=1 if each is proven_by else None,
            account_url=None,
        )
        for each in ALL
    )
    return NameAuthorization(
        id=value,
        account_id="account",
        identifier=dns(value),
        wildcard=wildcard,
        subdomains=subdomains,
        status=status,
        created_at=0,
        expires_at=10,
        evidence_number=evidence,
        caa_checked_at=1,
        challenges=challenges,
    )


@pytest.mark.parametrize(
    ("name", "ancestor", "scope"),
    [
        ("a.example.com", None, Scope(dns("a.example.com"))),
        ("*.example.com", None, Scope(dns("example.com"), wildcard=True)),
        ("a.b.example.com", "example.com", Scope(dns("example.com"), subdomains=True)),
        ("*.b.example.com", "example.com", Scope(dns("example.com"), subdomains=True)),
    ],
)
def test_what_a_name_needs(name, ancestor, scope):
    assert needed_scope(OrderName(dns(name), ancestor)) == scope


def test_an_address_needs_itself():
    address = Identifier(IdentifierType.IP, "192.0.2.1")
    assert needed_scope(OrderName(address)) == Scope(address)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(dns("example.com")), set(ALL)),
        (
            Scope(dns("example.com"), wildcard=True),
            {ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01, ChallengeType.DNS_PERSIST_01},
        ),
        (
            Scope(dns("example.com"), subdomains=True),
            {ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01, ChallengeType.DNS_PERSIST_01},
        ),
        (
            Scope(Identifier(IdentifierType.IP, "192.0.2.1")),
            {ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01},
        ),
    ],
)
def test_which_challenges_can_prove_it(scope, expected):
    assert set(usable_challenges(scope, ALL)) == expected
    assert usable_challenges(scope, ()) == ()


@pytest.mark.parametrize(
    ("held", "name", "covered"),
    [
        (authorization("example.com"), "example.com", True),
        (authorization("example.com"), "*.example.com", False),
        (authorization("example.com"), "a.example.com", False),
        (authorization("example.com", wildcard=True), "*.example.com", True),
        (authorization("example.com", wildcard=True), "example.com", False),
        (authorization("example.com", wildcard=True), "a.example.com", False),
        (authorization("example.com", wildcard=True), "*.a.example.com", False),
        (authorization("example.com", subdomains=True), "example.com", True),
        (authorization("example.com", subdomains=True), "a.b.example.com", True),
        (authorization("example.com", subdomains=True), "*.b.example.com", True),
        (authorization("example.com", subdomains=True), "notexample.com", False),
        (authorization("example.com", subdomains=True), "com", False),
        (authorization("a.example.com", subdomains=True), "example.com", False),
    ],
)
def test_what_an_authorization_stands_for(held, name, covered):
    assert covers(held, dns(name)) is covered


def test_a_subtree_of_names_holds_no_address():
    held = authorization("2.1", subdomains=True)
    assert not covers(held, Identifier(IdentifierType.IP, "192.0.2.1"))


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.VALID])
def test_only_what_is_valid_is_proven(status):
    assert not is_proven_by(authorization("example.com", status=status), ALL)


def test_without_evidence_nothing_is_proven():
    assert not is_proven_by(authorization("example.com", evidence=None), ALL)


def test_a_challenge_that_the_profile_does_not_allow_proves_nothing():
    held = authorization("example.com", proven_by=ChallengeType.HTTP_01)
    assert is_proven_by(held, [ChallengeType.HTTP_01])
    assert not is_proven_by(held, [ChallengeType.DNS_01])


def test_r11_each_name_is_counted_by_itself():
    """R11: several names, each with evidence or without: exactly those with it are proven."""
    names = [dns(f"{each}.example.com") for each in "abc"]
    for mask in product([True, False], repeat=3):
        held = [
            authorization(name.value, status=Status.VALID if has else Status.PENDING)
            for name, has in zip(names, mask, strict=True)
        ]
        expected = {name for name, has in zip(names, mask, strict=True) if has}
        assert proven_names(names, held, ALL) == expected
    assert proven_names(names, [authorization("a.example.com")] * 3, ALL) == {names[0]}
