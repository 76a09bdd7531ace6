"""CAA as RFC 8659 and RFC 8657 have it, property by property."""

from __future__ import annotations

import pytest

from ca_server.core.acme.caa import CaaQuestion, CaaRecord, climb, why_forbidden
from ca_server.core.acme.resources import ChallengeType

US = "ca.example"
ACCOUNT = "https://ca.example/acme/tls-server/account/1"


def judged(*records: str | tuple[int, str, str], wildcard: bool = False) -> str | None:
    """Records as `tag value`, or as flags, tag and value."""
    found = [
        CaaRecord(*each) if isinstance(each, tuple) else CaaRecord(0, *each.split(" ", 1)) for each in records
    ]
    return why_forbidden(found, CaaQuestion((US,), ACCOUNT, ChallengeType.DNS_01, wildcard))


@pytest.mark.parametrize(
    "records",
    [
        [],
        ["iodef mailto:security@example.org"],
        ["issuemail ;"],
        [(0, "unknown", "whatever")],
        [(128, "iodef", "mailto:security@example.org")],
        ["issue ca.example"],
        ["issue  \tCA.Example\t "],
        ["ISSUE ca.example;"],
        [(128, "issue", "ca.example")],
        ["issue other.example", "issue ca.example"],
        ["issue ;", "issue ca.example"],
        ["issue %%%", "issue ca.example"],
        ["issue ca.example; unknown=1"],
        [f"issue ca.example; accounturi={ACCOUNT}"],
        [f"issue ca.example; AccountURI = {ACCOUNT} ; validationmethods=dns-01"],
        ["issue ca.example; validationmethods=http-01,dns-01"],
        ["issue ca.example; validationmethods=ca-own-way", "issue ca.example"],
        ["issuewild ;"],
    ],
)
def test_these_let_us_issue(records):
    assert judged(*records) is None


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (["issue other.example"], "no property names us"),
        (["issue ;"], "no property names us"),
        (["issue "], "no property names us"),
        (["issue notca.example"], "no property names us"),
        (["issue sub.ca.example"], "no property names us"),
        (["issue ca.example.evil"], "no property names us"),
        (["issue ca.example other.example"], "no property names us"),
        (["issue ca.example; a=b;"], "no property names us"),
        (["issue ca.example; nothing"], "no property names us"),
        (["issue ca.example; a=b c"], "no property names us"),
        (["issue ca.example\x00"], "no property names us"),
        ([(128, "future", "1"), (0, "issue", "ca.example")], "critical"),
        ([(255, "future", "1")], "critical"),
        ([f"issue ca.example; accounturi={ACCOUNT}2"], "another account"),
        ([f"issue ca.example; accounturi={ACCOUNT.upper()}"], "another account"),
        (["issue ca.example; accounturi="], "another account"),
        ([f"issue ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}"], "another account"),
        (["issue ca.example; validationmethods="], "not for dns-01"),
        (["issue ca.example; validationmethods=http-01"], "not for dns-01"),
        (["issue ca.example; validationmethods=dns-01,"], "not for dns-01"),
        (["issue ca.example; validationmethods=dns-01; validationmethods=dns-01"], "not for dns-01"),
        (["issue ca.example; validationmethods=dns-account-01"], "not for dns-01"),
    ],
)
def test_these_do_not_and_say_why(records, reason):
    assert reason in (judged(*records) or "")


@pytest.mark.parametrize(
    ("records", "plain", "wildcard"),
    [
        (["issue ca.example"], True, True),
        (["issue other.example", "issuewild ca.example"], False, True),
        (["issue ca.example", "issuewild other.example"], True, False),
        (["issue ca.example", "issuewild ;"], True, False),
        (["issuewild ca.example"], True, True),
        (["issuewild other.example"], True, False),
        (["issue ;", "issuewild other.example", "issuewild ca.example"], False, True),
    ],
)
def test_issuewild_is_for_wildcards_and_comes_before_issue(records, plain, wildcard):
    assert (judged(*records) is None) is plain
    assert (judged(*records, wildcard=True) is None) is wildcard


def test_the_names_that_count_go_up_to_the_last_label():
    assert list(climb("a.b.example")) == ["a.b.example", "b.example", "example"]
