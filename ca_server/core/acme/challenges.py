"""What each challenge asks for: where to look, and what must be found there (RFC 8555 §8)."""

from __future__ import annotations

import base64
import hashlib
import ipaddress

from ca_server.core.acme.resources import ChallengeType, Problem
from ca_server.core.base64url import encode_base64url
from ca_server.core.identifiers import Identifier, IdentifierType

HTTP_PATH = "/.well-known/acme-challenge/"


class ValidationFailed(Exception):
    """Control of a name was not shown; `problem` is what the client is told."""

    def __init__(self, problem_type: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(problem_type, detail)


def key_authorization(token: str, thumbprint: str) -> str:
    """What http-01 must find, and the others a digest of (RFC 8555 §8.1)."""
    return f"{token}.{thumbprint}"


def txt_value(token: str, thumbprint: str) -> str:
    """The value of the TXT record of dns-01 and dns-account-01 (RFC 8555 §8.4)."""
    return encode_base64url(alpn_digest(token, thumbprint))


def alpn_digest(token: str, thumbprint: str) -> bytes:
    """The digest in the acmeIdentifier extension of tls-alpn-01 (RFC 8737 §3)."""
    return hashlib.sha256(key_authorization(token, thumbprint).encode()).digest()


def txt_name(challenge_type: ChallengeType, domain: str, account_url: str) -> str:
    """The one name whose TXT records are asked for (R10).

    dns-account-01 has a label of the account before `_acme-challenge`, so that several accounts can prove
    one name without sharing a record (draft-ietf-acme-dns-account-label-03).
    """
    match challenge_type:
        case ChallengeType.DNS_01:
            return f"_acme-challenge.{domain}"
        case ChallengeType.DNS_ACCOUNT_01:
            label = base64.b32encode(hashlib.sha256(account_url.encode()).digest()[:10]).decode().lower()
            return f"_{label}._acme-challenge.{domain}"
        case ChallengeType.DNS_PERSIST_01:
            return f"_validation-persist.{domain}"
    raise ValueError(f"{challenge_type} is not proven by a TXT record")


def server_name(identifier: Identifier) -> str:
    """The server name that tls-alpn-01 asks for; of an address that for reverse look-ups (RFC 8738 §6)."""
    if identifier.type is IdentifierType.IP:
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value
