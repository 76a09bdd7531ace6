"""Whether CAA records let us issue (RFC 8659 §4, RFC 8657). Finding the records is not for here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ca_server.core.acme.issue_value import IssueValue, parse_issue_value
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.errors import CaError

CRITICAL = 0x80

_METHODS = re.compile(r"[A-Za-z0-9-]+(?:,[A-Za-z0-9-]+)*")
# `iodef` asks for reports and `issuemail` (RFC 9495) is for e-mail: understood, and no bar to us.
_UNDERSTOOD = frozenset({"issue", "issuewild", "iodef", "issuemail"})


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """One record as DNS has it; `tag` and `value` in Latin-1, so that no byte is lost."""

    flags: int
    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class CaaQuestion:
    """Who would issue, to which account, proven how; `wildcard` where the name begins with `*`."""

    identities: Collection[str]
    account_url: str
    method: ChallengeType
    wildcard: bool


def climb(domain: str) -> Iterator[str]:
    """The names whose records count, the nearest first: the first that has any decides (RFC 8659 §3)."""
    labels = domain.split(".")
    for start in range(len(labels)):
        yield ".".join(labels[start:])


def why_forbidden(records: Collection[CaaRecord], question: CaaQuestion) -> str | None:
    """Why the relevant record set forbids to issue, or None where it does not.

    No records forbid nothing, nor do records that say nothing of issuing.
    """
    tagged = [(each.tag.lower(), each) for each in records]
    for tag, record in tagged:
        if record.flags & CRITICAL and tag not in _UNDERSTOOD:
            return "a critical property is not understood here"
    wild = [each for tag, each in tagged if tag == "issuewild"]
    plain = [each for tag, each in tagged if tag == "issue"]
    relevant = wild if question.wildcard and wild else plain
    if not relevant:
        return None
    ours = [each for each in map(_read, relevant) if each and each.issuer in question.identities]
    if not ours:
        return f"no property names us ({' or '.join(question.identities)})"
    reasons = [_why_not(each, question) for each in ours]
    return None if None in reasons else reasons[0]


def _read(record: CaaRecord) -> IssueValue | None:
    """What cannot be read allows nobody, and so is as good as nothing beside the others (RFC 8659 §4.2)."""
    try:
        return parse_issue_value(record.value)
    except CaError:
        return None


def _why_not(value: IssueValue, question: CaaQuestion) -> str | None:
    if not _account_matches(value, question.account_url):
        return "the property that names us is for another account (accounturi)"
    if not _method_matches(value, question.method):
        return f"the property that names us is not for {question.method} (validationmethods)"
    return None


def _account_matches(value: IssueValue, account_url: str) -> bool:
    """RFC 8657 §3: one exact URI; two of them can never be satisfied."""
    given = value.values("accounturi")
    return given in {(), (account_url,)}


def _method_matches(value: IssueValue, method: ChallengeType) -> bool:
    """RFC 8657 §4: a list with commas; two lists, or one that cannot be read, can never be satisfied."""
    given = value.values("validationmethods")
    if not given:
        return True
    return len(given) == 1 and bool(_METHODS.fullmatch(given[0])) and method.value in given[0].split(",")
