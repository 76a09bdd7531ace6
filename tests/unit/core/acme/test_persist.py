"""Records of dns-persist-01, with the draft's own test vectors."""

from __future__ import annotations

import pytest

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.persist import PersistQuestion, account_uris, find_permission, parse_record
from ca_server.core.errors import CaError

# draft-ietf-acme-dns-persist-02 §10.2, with our place for accounts.
ACCOUNT = "https://ca.example/account/123"
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
NOW = 1_800_000_000


def question(account: str = ACCOUNT, *, whole_domain: bool = False) -> PersistQuestion:
    return PersistQuestion(
        ("ca.example", "other-name.example"), "example.com", account, THUMBPRINT, whole_domain
    )


def test_the_hash_of_an_account_is_the_drafts():
    drafts_account = "https://ca.example/acct/123"
    hashed, for_all, plain = account_uris(question(drafts_account))
    assert hashed.endswith("/account-hash/sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw")
    assert for_all.endswith("/account-hash/sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug")
    assert plain == drafts_account


def test_hashes_live_beside_the_accounts_of_their_directory():
    hashed, *_ = account_uris(question("https://ca.example/acme/tls-server/account/123"))
    assert hashed.startswith("https://ca.example/acme/tls-server/account-hash/sha-256/")


@pytest.mark.parametrize("uri", account_uris(question()))
@pytest.mark.parametrize("issuer", ["ca.example", "OTHER-name.example", " ca.example\t"])
def test_an_account_is_let_in_by_each_of_its_names(uri, issuer):
    permission = find_permission([f"{issuer};accounturi={uri}"], question(), NOW)
    assert permission.account_uri == uri
    assert permission.until is None


@pytest.mark.parametrize(
    ("text", "whole_domain", "until"),
    [
        (f"ca.example; accounturi={ACCOUNT}; policy=wildcard", True, None),
        (f"ca.example; accounturi={ACCOUNT}; POLICY=WildCard; unknown=x", True, None),
        (f"ca.example; policy=anything; accounturi={ACCOUNT}", False, None),
        (f"ca.example; accounturi={ACCOUNT}; persistUntil={NOW + 1}", False, NOW + 1),
    ],
)
def test_parameters_say_how_far_and_until_when(text, whole_domain, until):
    assert find_permission([text], question(whole_domain=whole_domain), NOW).until == until


def test_the_longest_permission_counts_and_others_records_are_passed_over():
    record = f"ca.example; accounturi={ACCOUNT}"
    texts = [
        "v=spf1 -all",
        "elsewhere.example; accounturi=",
        f"{record}; persistUntil={NOW + 5}",
        f"{record}; persistUntil={NOW + 9}",
        f"{record}; persistUntil={NOW - 9}",
        "ca.example; broken",
    ]
    assert find_permission(texts, question(), NOW).until == NOW + 9
    assert find_permission([*texts, record], question(), NOW).until is None


@pytest.mark.parametrize(
    ("texts", "problem", "words"),
    [
        (["v=spf1 -all"], "unauthorized", "names us"),
        ([f"evil.example; accounturi={ACCOUNT}"], "unauthorized", "names us"),
        ([f"ca.example; accounturi={ACCOUNT}4"], "unauthorized", "another account"),
        ([f"ca.example; accounturi={ACCOUNT.upper()}"], "unauthorized", "another account"),
        ([f"ca.example; accounturi={ACCOUNT}; persistUntil={NOW}"], "unauthorized", "ended"),
        (["ca.example"], "malformed", "no accounturi"),
        (["ca.example; accounturi="], "malformed", "no accounturi"),
        ([f"ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}"], "malformed", "more than once"),
        ([f"ca.example; accounturi={ACCOUNT}; persistUntil=soon"], "malformed", "persistUntil"),
        ([f"ca.example; accounturi={ACCOUNT}; persistUntil=-1"], "malformed", "persistUntil"),
        ([f"ca.example; accounturi={ACCOUNT}; persistUntil={'9' * 30}"], "malformed", "persistUntil"),
        ([f"ca.example; accounturi={ACCOUNT};"], "malformed", "tag=value"),
        ([f"ca.example.; accounturi={ACCOUNT}"], "malformed", "domain name"),
    ],
)
def test_whatever_is_not_right_is_refused_with_the_drafts_words(texts, problem, words):
    with pytest.raises(ValidationFailed) as caught:
        find_permission(texts, question(), NOW)
    assert caught.value.problem.type == problem
    assert words in caught.value.problem.detail


@pytest.mark.parametrize(
    "text", [f"ca.example; accounturi={ACCOUNT}", f"ca.example; accounturi={ACCOUNT}; policy=x"]
)
def test_a_whole_domain_needs_the_policy_that_says_so(text):
    with pytest.raises(ValidationFailed, match="policy=wildcard"):
        find_permission([text], question(whole_domain=True), NOW)


@pytest.mark.parametrize(
    ("text", "rule_id"),
    [
        ("", "ACME-PERSIST"),
        ("; accounturi=x", "ACME-PERSIST"),
        ("a..b", "ACME-ISSUE-VALUE"),
        ("x" * 5000, "ACME-ISSUE-VALUE"),
    ],
)
def test_a_record_that_is_none_breaks_a_rule(text, rule_id):
    with pytest.raises(CaError) as caught:
        parse_record(text)
    assert caught.value.rule_ids == (rule_id,)
