"""How an account's owner can be reached (RFC 8555 §7.3): e-mail addresses, one a `mailto` URI."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ca_server.core.errors import CaError, Violation
from ca_server.core.name_syntax import canonical_dns

MAX_CONTACTS = 10
MAX_ADDRESS, MAX_LOCAL_PART = 254, 64

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
# A dot-atom of RFC 5322 §3.2.3 without `?` and `%`, which mean something else in a URI (RFC 6068 §2).
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$&'*+/=^_`{|}~-]+(\.[A-Za-z0-9!#$&'*+/=^_`{|}~-]+)*")


def contact_violations(contacts: Sequence[str]) -> list[Violation]:
    """What is wrong with the contacts of an account, each at its place: `/contact/N`."""
    if len(contacts) > MAX_CONTACTS:
        return [Violation("ACME-CONTACT", f"an account has {MAX_CONTACTS} contacts at most", "/contact")]
    found = ((_why_not(contact), f"/contact/{number}") for number, contact in enumerate(contacts))
    return [Violation(*why, pointer) for why, pointer in found if why is not None]


def _why_not(contact: str) -> tuple[str, str] | None:
    """The rule that a contact breaks, and how."""
    scheme, colon, address = contact.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        return "ACME-CONTACT", "a contact is a URI, such as mailto:admin@example.com"
    if scheme.lower() != "mailto":
        return "ACME-CONTACT-SCHEME", "only mailto: contacts can be used"
    if "?" in address or "," in address:
        return "ACME-CONTACT", "a contact is one address, without header fields (RFC 8555 §7.3)"
    local_part, _, domain = address.rpartition("@")
    if len(address) > MAX_ADDRESS or len(local_part) > MAX_LOCAL_PART:
        return "ACME-CONTACT", f"an address has {MAX_ADDRESS} characters at most"
    if not _LOCAL_PART.fullmatch(local_part) or "*" in domain or not _is_domain(domain):
        return "ACME-CONTACT", "this is no e-mail address; it is written like mailto:admin@example.com"
    return None


def _is_domain(text: str) -> bool:
    try:
        canonical_dns(text)
    except CaError:
        return False
    return True
