"""The `[acme]` section of the configuration. Without it there is no ACME: no route, no validation."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ca_server.core.document import Duration, Strict, broken
from ca_server.core.profile_words import tuple_of_list
from ca_server.core.rates import Rate, RateText

_RESOLVER = re.compile(r"(\[[0-9a-f:]+\]|[0-9.]+):([0-9]{1,5})")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise broken("CONFIG-NETWORK", f"use a network such as 10.0.0.0/8: {error}") from error


def _resolver(text: str) -> str:
    match = _RESOLVER.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65_536 or not _is_address(match[1].strip("[]")):
        raise broken("CONFIG-RESOLVER", "use ADDRESS:PORT, such as 10.0.0.53:53 or [fd00::53]:53")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _domain(text: str) -> str:
    if not _DOMAIN.fullmatch(text):
        raise broken("CONFIG-CAA", "use a lower-case domain name, such as ca.example.com")
    return text


def _web_url(text: str) -> str:
    if not text.startswith(("https://", "http://")) or not text.isprintable() or " " in text:
        raise broken("CONFIG-URL", "use an https:// or http:// URL")
    return text


WebURL = Annotated[str, Field(max_length=500), AfterValidator(_web_url)]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...],
    Field(max_length=200),
    BeforeValidator(tuple_of_list),
]
Resolvers = Annotated[
    tuple[Annotated[str, AfterValidator(_resolver)], ...], Field(max_length=8), BeforeValidator(tuple_of_list)
]
# A dns-persist-01 challenge lists them all, and 10 at most (draft-ietf-acme-dns-persist).
Domains = Annotated[
    tuple[Annotated[str, AfterValidator(_domain)], ...],
    Field(min_length=1, max_length=10),
    BeforeValidator(tuple_of_list),
]


class AcmeLimits(Strict):
    """How much one client may ask for. Renewals that ARI says are due do not count (RFC 9773 §5)."""

    accounts_per_address: RateText = Rate(count=50, seconds=10_800)
    orders_per_account: RateText = Rate(count=300, seconds=10_800)
    certificates_per_name: RateText = Rate(count=100, seconds=604_800)
    certificates_per_name_set: RateText = Rate(count=20, seconds=604_800)
    failures_per_name: RateText = Rate(count=30, seconds=3_600)
    # An account's name is paused after so many failures in a row over so long a time.
    pause_after_failures: int = Field(default=50, ge=3, le=100_000)
    pause_after: Duration = timedelta(days=3)


class AcmeValidation(Strict):
    """How names are validated: of whom DNS is asked, whom we may connect to, and how often it is tried."""

    # The allow-list: only addresses in these networks are ever connected to.
    networks: Networks = ()
    # Empty: those of /etc/resolv.conf.
    resolvers: Resolvers = ()
    http01_port: int = Field(default=80, ge=1, le=65_535)
    tls_alpn01_port: int = Field(default=443, ge=1, le=65_535)
    attempts: int = Field(default=4, ge=1, le=10)
    threads: int = Field(default=8, ge=1, le=64)


class AcmeConfig(Strict):
    """What all ACME directories have in common; each profile that allows the protocol has one."""

    # The issuer domain names that CAA records and dns-persist-01 records may name (RFC 8659 §4.2).
    caa_identities: Domains
    terms_of_service: WebURL | None = None
    website: WebURL | None = None
    order_lifetime: Duration = timedelta(days=1)
    authorization_reuse: Duration = timedelta(hours=8)
    validation: AcmeValidation = AcmeValidation()
    limits: AcmeLimits = AcmeLimits()

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        # A proof has to outlive the order that it is for: its client has yet to ask for the certificate.
        if not timedelta(minutes=10) <= self.authorization_reuse <= timedelta(days=30):
            raise broken(
                "CONFIG-REUSE", "an authorization is reused for 10 minutes at least, 30 days at most"
            )
        if self.order_lifetime > timedelta(days=30):
            raise broken("CONFIG-ORDER", "an order lives for 30 days at most")
        return self
