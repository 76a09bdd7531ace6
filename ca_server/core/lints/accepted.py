"""Findings of pkilint that we do not share, each with its reason; none is silenced anywhere else.

pkilint leaves the syntax of names to a validator made for public web addresses. An acceptance holds only
where our own, stricter reading of the same name finds nothing wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ca_server.core.errors import CaError
from ca_server.core.name_syntax import canonical_dns, canonical_email, canonical_uri

_QUOTED = re.compile(r'[^"]*"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Why a code is accepted, and the reading under which the name in it must be well-formed."""

    reason: str
    reads: Callable[[str], str]


ACCEPTED: dict[str, Acceptance] = {
    "pkix.invalid_domain_name_syntax": Acceptance(
        "single labels such as localhost are host names (RFC 1123 §2.1), and a wildcard label is "
        "RFC 6125 §6.4.3's; the validator wants a public domain",
        canonical_dns,
    ),
    "pkix.invalid_email_address_syntax": Acceptance(
        "a mailbox's domain may be an internal name; the validator wants a public domain", canonical_email
    ),
    "pkix.invalid_uri_syntax": Acceptance(
        "spiffe: and urn: are URIs (RFC 3986 §3.1), and an internal host may stand in one; "
        "the validator knows web addresses alone",
        canonical_uri,
    ),
}


def is_accepted(code: str, detail: str) -> bool:
    """Whether a finding is one that we do not share, and the name it quotes is well-formed to us."""
    acceptance = ACCEPTED.get(code)
    quoted = _QUOTED.fullmatch(detail)
    if acceptance is None or quoted is None:
        return False
    try:
        return acceptance.reads(quoted[1]) == quoted[1]
    except CaError:
        return False
