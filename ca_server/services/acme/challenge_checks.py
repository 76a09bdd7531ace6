"""How each challenge is checked: what is asked of the network, and what must come back (RFC 8555 §8)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from ca_server.core.acme.caa import CaaQuestion
from ca_server.core.acme.challenges import (
    HTTP_PATH,
    ValidationFailed,
    alpn_digest,
    key_authorization,
    txt_name,
    txt_value,
)
from ca_server.core.acme.coverage import Scope, usable_challenges
from ca_server.core.acme.evidence import Evidence, printable
from ca_server.core.acme.persist import PersistQuestion, find_permission
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.acme.settings import AcmeConfig
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.outbound.addresses import AddressRule
from ca_server.outbound.dialer import Dialer
from ca_server.outbound.fetcher import MAX_BODY, Fetcher
from ca_server.outbound.resolver import Resolver
from ca_server.outbound.tls_alpn import TlsAlpn
from ca_server.services.acme.caa import require_caa
from ca_server.store.validations import ValidationTask

_Check = Callable[[ValidationTask, Evidence, int], int | None]


class Prober:
    """Checks challenges over the network; safe to use from many threads.

    `loopback` lets listed loopback networks be connected to, which only a rehearsal may.
    """

    def __init__(self, settings: AcmeConfig, *, loopback: bool) -> None:
        validation = settings.validation
        ports = frozenset({validation.http01_port, validation.tls_alpn01_port})
        self._identities = settings.caa_identities
        self._http01_port = validation.http01_port
        self._resolver = Resolver(validation.resolvers)
        dialer = Dialer(self._resolver, AddressRule(validation.networks, loopback=loopback))
        self._fetcher = Fetcher(dialer, ports)
        self._tls_alpn = TlsAlpn(dialer, validation.tls_alpn01_port)
        self._checks: Mapping[ChallengeType, _Check] = {
            ChallengeType.HTTP_01: self._http_01,
            ChallengeType.TLS_ALPN_01: self._tls_alpn_01,
            ChallengeType.DNS_01: self._txt,
            ChallengeType.DNS_ACCOUNT_01: self._txt,
            ChallengeType.DNS_PERSIST_01: self._dns_persist_01,
        }

    def check(self, task: ValidationTask, evidence: Evidence, now: int) -> int | None:
        """Pass only if the challenge is fulfilled and CAA does not forbid; notes what was seen.

        Returns when what was shown ends by its own words (seconds since 1970), or None.

        Raises:
            ValidationFailed: with the problem that the client is told.
        """
        scope = Scope(task.identifier, wildcard=task.wildcard, subdomains=task.subdomains)
        if not usable_challenges(scope, [task.type]):
            raise ValidationFailed("malformed", f"{task.type} cannot prove {task.identifier}")
        until = self._checks[task.type](task, evidence, now)
        question = CaaQuestion(self._identities, task.account_url, task.type, task.wildcard)
        require_caa(self._resolver, question, task.identifier, evidence)
        return until

    def _http_01(self, task: ValidationTask, evidence: Evidence, _now: int) -> None:
        """RFC 8555 §8.3: the key authorization, with blanks at its end passed over."""
        port = "" if self._http01_port == 80 else f":{self._http01_port}"
        url = f"http://{_url_host(task.identifier)}{port}{HTTP_PATH}{task.token}"
        fetched = self._fetcher.fetch(url, evidence)
        shown = printable(fetched.url, 200)
        if fetched.status != 200:
            raise ValidationFailed("incorrectResponse", f"{shown} answered {fetched.status}, not 200")
        if not fetched.whole:
            raise ValidationFailed("incorrectResponse", f"{shown} has over {MAX_BODY} bytes")
        if fetched.body.rstrip() != key_authorization(task.token, task.thumbprint).encode():
            # After a redirect the place was the other side's choice, and what stands there is not for it to
            # read through us: not even on the same host, whose address may be another by then.
            seen = f' but "{printable(fetched.body)}"' if fetched.url == url else ""
            raise ValidationFailed(
                "incorrectResponse", f"{shown} has not the key authorization of this account{seen}"
            )

    def _tls_alpn_01(self, task: ValidationTask, evidence: Evidence, _now: int) -> None:
        self._tls_alpn.check(task.identifier, alpn_digest(task.token, task.thumbprint), evidence)

    def _txt(self, task: ValidationTask, evidence: Evidence, _now: int) -> None:
        """RFC 8555 §8.4: one of the TXT records there has the digest."""
        name = txt_name(task.type, task.identifier.value, task.account_url)
        found = self._resolver.texts(name, evidence)
        if txt_value(task.token, task.thumbprint) not in found:
            raise ValidationFailed(*_wrong_texts(name, found))

    def _dns_persist_01(self, task: ValidationTask, evidence: Evidence, now: int) -> int | None:
        domain = task.identifier.value
        name = txt_name(task.type, domain, task.account_url)
        question = PersistQuestion(
            identities=self._identities,
            domain=domain,
            account_url=task.account_url,
            thumbprint=task.thumbprint,
            whole_domain=task.wildcard or task.subdomains,
        )
        found = self._resolver.texts(name, evidence)
        if not found:
            raise ValidationFailed("unauthorized", f"there is no TXT record at {name}")
        permission = find_permission(found, question, now)
        evidence.note("persist", issuer=permission.issuer, account=permission.account_uri)
        return permission.until


def _url_host(identifier: Identifier) -> str:
    if identifier.type is IdentifierType.IP and ipaddress.ip_address(identifier.value).version == 6:
        return f"[{identifier.value}]"
    return identifier.value


def _wrong_texts(name: str, found: tuple[str, ...]) -> tuple[str, str]:
    if not found:
        return "dns", f"there is no TXT record at {name}"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        "incorrectResponse",
        f'no TXT record at {name} is right: there is "{printable(found[0])}"{more}',
    )
