"""Records of dns-persist-01: one TXT record that stands for an account (draft-ietf-acme-dns-persist-02).

The account is named by a hash of it (-02), or by its URL (-01, which clients in the field still write).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.issue_value import IssueValue, parse_issue_value
from ca_server.core.base64url import encode_base64url
from ca_server.core.clock import from_epoch, to_text
from ca_server.core.errors import CaError, Kind, refuse

_TIMESTAMP = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class PersistRecord:
    """One record: which CA may issue to which account, how far, and until when (seconds since 1970)."""

    issuer: str
    account_uri: str
    wildcard: bool
    until: int | None


@dataclass(frozen=True, slots=True)
class PersistQuestion:
    """Who would issue to which account; `whole_domain` for wildcards and subdomains."""

    identities: Collection[str]
    domain: str
    account_url: str
    thumbprint: str
    whole_domain: bool


def account_hash_prefix(account_url: str) -> str:
    """Where the hashed names of accounts live: beside the accounts (§4.1, `accountHashPrefix`)."""
    return account_url.rpartition("/account/")[0] + "/account-hash/"


def account_uris(question: PersistQuestion) -> tuple[str, ...]:
    """Every way to name the account: hashed with the domain, hashed for all domains, and plain."""
    prefix = account_hash_prefix(question.account_url)
    hashed = (
        encode_base64url(
            hashlib.sha256(
                bytes([len(domain)]) + (domain + question.thumbprint + question.account_url).encode()
            ).digest()
        )
        for domain in (question.domain, "*")
    )
    return (*(f"{prefix}sha-256/{each}" for each in hashed), question.account_url)


def parse_record(text: str) -> PersistRecord:
    """Read one TXT record; parameters that nobody here knows are passed over (§4.1).

    Raises:
        CaError: malformed, `ACME-ISSUE-VALUE` or `ACME-PERSIST`.
    """
    value = parse_issue_value(text)
    if not value.issuer:
        raise _malformed("names no issuer")
    account_uri = _single(value, "accounturi")
    if not account_uri:
        raise _malformed("has no accounturi")
    until = _single(value, "persistuntil")
    if until is not None and not _TIMESTAMP.fullmatch(until):
        raise _malformed("has a persistUntil that is not a number of seconds")
    policy = _single(value, "policy")
    return PersistRecord(
        issuer=value.issuer,
        account_uri=account_uri,
        wildcard=policy is not None and policy.lower() == "wildcard",
        until=None if until is None else int(until),
    )


def find_permission(texts: Collection[str], question: PersistQuestion, now: int) -> PersistRecord:
    """The record that lets this account have this name, the longest-lived where there are several.

    Raises:
        ValidationFailed: unauthorized, no record does; malformed, one that is meant for us cannot be read.
    """
    refusals: list[ValidationFailed] = []
    found: list[PersistRecord] = []
    for text in texts:
        # Records of other CAs, and other things that stand there, are nothing to us (§4.3.2).
        if text.partition(";")[0].strip(" \t").rstrip(".").lower() not in question.identities:
            continue
        try:
            record = parse_record(text)
        except CaError as error:
            refusals.append(ValidationFailed("malformed", error.detail))
            continue
        reason = _why_not(record, question, now)
        if reason is None:
            found.append(record)
        else:
            refusals.append(ValidationFailed("unauthorized", reason))
    if found:
        return max(found, key=lambda each: (each.until is None, each.until or 0))
    if refusals:
        raise refusals[0]
    names = " or ".join(question.identities)
    raise ValidationFailed("unauthorized", f"no TXT record there names us ({names}) as issuer")


def _why_not(record: PersistRecord, question: PersistQuestion, now: int) -> str | None:
    if record.account_uri not in account_uris(question):
        return f"the TXT record names another account than {question.account_url}"
    if record.until is not None and record.until <= now:
        return f"the TXT record ended with its persistUntil, {to_text(from_epoch(record.until))}"
    if question.whole_domain and not record.wildcard:
        return "the TXT record lacks policy=wildcard, which wildcards and subdomains need"
    return None


def _single(value: IssueValue, tag: str) -> str | None:
    given = value.values(tag)
    if len(given) > 1:
        raise _malformed(f"has {tag} more than once")
    return given[0] if given else None


def _malformed(reason: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-PERSIST", f"the TXT record for dns-persist-01 {reason}")
