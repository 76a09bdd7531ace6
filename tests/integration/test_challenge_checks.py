"""Each challenge against a real DNS, HTTP or TLS server: what proves a name, and what does not."""

from __future__ import annotations

import json

import dns.rcode
import pytest
from cryptography import x509

from ca_server.core.acme.challenges import (
    ValidationFailed,
    alpn_digest,
    key_authorization,
    txt_name,
    txt_value,
)
from ca_server.core.acme.persist import PersistQuestion, account_uris
from ca_server.core.acme.resources import ChallengeType
from ca_server.core.acme.settings import AcmeConfig, AcmeValidation
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import parse_identifier
from ca_server.outbound.resolver import DnsFailed
from ca_server.services.acme.caa import AT_ONCE, CaaAsk, CaaChecks
from ca_server.services.acme.challenge_checks import Prober
from ca_server.store.validations import ValidationTask
from tests.fakes.certificates_for_alpn import alpn_context
from tests.fakes.raw_server import answer, raw_server, redirect

NAME = "www.example.test"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
ACCOUNT = "https://ca.example/acme/tls-server/account/1"
PROOF = key_authorization(TOKEN, THUMBPRINT)
NOW = 1_800_000_000


def task(kind: ChallengeType, identifier: str = f"dns:{NAME}", **more) -> ValidationTask:
    return ValidationTask(
        challenge_id="c",
        authorization_id="z",
        account_id="a",
        thumbprint=THUMBPRINT,
        account_url=ACCOUNT,
        type=kind,
        token=TOKEN,
        identifier=parse_identifier(identifier),
        wildcard=more.get("wildcard", False),
        subdomains=more.get("subdomains", False),
        attempts=0,
    )


@pytest.fixture
def prober(zone):
    """Make one for a port; its name is known and leads to loopback."""
    zone.add(NAME, "A", "127.0.0.1")

    def make(port=1, **validation):
        settings = AcmeValidation(
            networks=("127.0.0.0/25", "::1/128"),
            resolvers=(zone.place,),
            http01_port=port,
            tls_alpn01_port=port,
            **validation,
        )
        return Prober(AcmeConfig(caa_identities=("ca.example",), validation=settings), loopback=True)

    return make


@pytest.fixture
def check(prober, evidence):
    """Run one check; returns its end."""

    def run(kind, identifier=f"dns:{NAME}", *, port=1, **more):
        return prober(port).check(task(kind, identifier, **more), evidence, NOW)

    return run


def problem(check, *arguments, **keywords) -> tuple[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        check(*arguments, **keywords)
    return caught.value.problem.type, caught.value.problem.detail


@pytest.mark.parametrize("end", ["", "\n", " \t\r\n\n"])
def test_http_01_reads_the_key_authorization_at_its_path(check, end):
    with raw_server(answer((PROOF + end).encode())) as server:
        check(ChallengeType.HTTP_01, port=server.port)
    assert server.requests[0].startswith(f"GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_http_01_proves_addresses_without_dns_or_caa(check, zone, address):
    with raw_server(answer(PROOF.encode()), host=address) as server:
        check(ChallengeType.HTTP_01, f"ip:{address}", port=server.port)
    assert zone.questions == []


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (answer(b"something else\x00\xff"), 'but "something else??"'),
        (answer(PROOF.encode()[:-1]), "has not the key authorization"),
        (answer(b" " + PROOF.encode()), "has not the key authorization"),
        (answer(PROOF.encode() + b"x"), "has not the key authorization"),
        (answer(b""), "has not the key authorization"),
        (answer(PROOF.encode() + b" " * 2000), "over 1152 bytes"),
        (answer(PROOF.encode(), "404 Not Found"), "answered 404"),
        (answer(PROOF.encode(), "201 Created"), "answered 201"),
    ],
)
def test_http_01_takes_nothing_else_for_it(check, talk, words):
    with raw_server(talk) as server:
        kind, detail = problem(check, ChallengeType.HTTP_01, port=server.port)
    assert kind == "incorrectResponse"
    assert words in detail


@pytest.mark.parametrize("host", [NAME, "other.example.test"])
def test_http_01_shows_nothing_of_what_a_redirect_led_to(check, zone, evidence, host):
    """Nobody reads what stands at a place of their choice through us; officers learn how much it was."""
    zone.add("other.example.test", "A", "127.0.0.1")
    served = {b"/elsewhere": answer(b"a secret")}

    with raw_server(lambda sock, request: served[request.split()[1]](sock, request)) as server:
        path = f"/.well-known/acme-challenge/{TOKEN}".encode()
        served[path] = redirect(f"http://{host}:{server.port}/elsewhere")
        kind, detail = problem(check, ChallengeType.HTTP_01, port=server.port)
    assert kind == "incorrectResponse"
    assert detail.endswith("/elsewhere has not the key authorization of this account")
    assert "secret" not in json.dumps(evidence.as_data())
    assert {"status": 200, "bytes": 8}.items() <= evidence.as_data()["notes"][-1].items()


def test_tls_alpn_01_reads_the_certificate(check):
    context = alpn_context([x509.DNSName(NAME)], alpn_digest(TOKEN, THUMBPRINT))
    with raw_server(lambda _sock, _request: None, tls=context) as server:
        check(ChallengeType.TLS_ALPN_01, port=server.port)


@pytest.mark.parametrize("kind", [ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01])
@pytest.mark.parametrize("more", [{}, {"wildcard": True}, {"subdomains": True}])
def test_r10_one_name_is_asked_for_its_txt_records_and_one_right_one_is_enough(check, zone, kind, more):
    name = txt_name(kind, NAME, ACCOUNT)
    value = txt_value(TOKEN, THUMBPRINT)
    zone.add(name, "TXT", "of-somebody-else", f'"{value[:20]}" "{value[20:]}"')
    check(kind, **more)
    assert zone.asked("TXT") == [name]


@pytest.mark.parametrize("kind", [ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01])
def test_r10_the_right_record_at_a_wrong_name_proves_nothing(check, zone, kind):
    others = {txt_name(each, NAME, ACCOUNT) for each in (ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01)}
    for name in {NAME, "example.test", "_acme-challenge.example.test", *others} - {
        txt_name(kind, NAME, ACCOUNT)
    }:
        zone.add(name, "TXT", txt_value(TOKEN, THUMBPRINT))
    assert problem(check, kind)[0] == "dns"
    zone.add(txt_name(kind, NAME, ACCOUNT), "TXT", f"{txt_value(TOKEN, THUMBPRINT)}x", "second")
    found, detail = problem(check, kind)
    assert found == "incorrectResponse"
    assert "and 1 more" in detail


def test_dns_01_follows_a_cname(check, zone):
    zone.add(f"_acme-challenge.{NAME}", "CNAME", "elsewhere.test.")
    zone.add("elsewhere.test", "TXT", txt_value(TOKEN, THUMBPRINT))
    check(ChallengeType.DNS_01)


def test_dns_01_does_not_choke_on_a_huge_record(check, zone):
    zone.add(f"_acme-challenge.{NAME}", "TXT", " ".join(f'"{"x" * 250}"' for _ in range(200)))
    found, detail = problem(check, ChallengeType.DNS_01)
    assert found == "incorrectResponse"
    assert len(detail) < 300
    zone.add(f"_acme-challenge.{NAME}", "TXT", txt_value(TOKEN, THUMBPRINT))
    check(ChallengeType.DNS_01)


@pytest.mark.parametrize("more", [{}, {"wildcard": True}, {"subdomains": True}])
def test_dns_persist_01_reads_the_standing_record(check, zone, more):
    question = PersistQuestion(("ca.example",), NAME, ACCOUNT, THUMBPRINT, whole_domain=False)
    for uri in account_uris(question):
        zone.records[f"_validation-persist.{NAME}", "TXT"] = [
            f'"ca.example; accounturi={uri}; policy=wildcard; persistUntil={NOW + 60}"'
        ]
        assert check(ChallengeType.DNS_PERSIST_01, **more) == NOW + 60
    assert set(zone.asked("TXT")) == {f"_validation-persist.{NAME}"}


def test_dns_persist_01_needs_the_policy_for_whole_domains(check, zone):
    assert problem(check, ChallengeType.DNS_PERSIST_01)[0] == "unauthorized"
    zone.add(f"_validation-persist.{NAME}", "TXT", f'"ca.example; accounturi={ACCOUNT}"')
    assert check(ChallengeType.DNS_PERSIST_01) is None
    for more in ({"wildcard": True}, {"subdomains": True}):
        assert problem(check, ChallengeType.DNS_PERSIST_01, **more)[0] == "unauthorized"


@pytest.mark.parametrize(
    ("kind", "identifier", "more"),
    [
        (ChallengeType.HTTP_01, f"dns:{NAME}", {"wildcard": True}),
        (ChallengeType.TLS_ALPN_01, f"dns:{NAME}", {"wildcard": True}),
        (ChallengeType.HTTP_01, f"dns:{NAME}", {"subdomains": True}),
        (ChallengeType.TLS_ALPN_01, f"dns:{NAME}", {"subdomains": True}),
        (ChallengeType.DNS_01, "ip:127.0.0.1", {}),
        (ChallengeType.DNS_ACCOUNT_01, "ip:127.0.0.1", {}),
        (ChallengeType.DNS_PERSIST_01, "ip:127.0.0.1", {}),
    ],
)
def test_a_challenge_that_cannot_prove_a_name_is_not_even_tried(check, zone, kind, identifier, more):
    assert problem(check, kind, identifier, **more)[0] == "malformed"
    assert zone.questions == []


def prove(zone) -> None:
    zone.add(f"_acme-challenge.{NAME}", "TXT", txt_value(TOKEN, THUMBPRINT))


def test_caa_is_looked_for_upwards_until_there_is_some(check, zone, evidence):
    prove(zone)
    zone.add("example.test", "CAA", f'0 issue "ca.example; accounturi={ACCOUNT}; validationmethods=dns-01"')
    zone.add("test", "CAA", '0 issue ";"')
    check(ChallengeType.DNS_01)
    assert zone.asked("CAA") == [NAME, "example.test"]
    assert evidence.as_data()["notes"][-1] == {"step": "caa", "at": "example.test", "records": 1}


def test_without_caa_up_to_the_top_everybody_may_issue(check, zone):
    prove(zone)
    check(ChallengeType.DNS_01)
    assert zone.asked("CAA") == [NAME, "example.test", "test"]


@pytest.mark.parametrize(
    ("records", "wildcard"),
    [
        (['0 issue "other.example"'], False),
        (['0 issue ";"'], False),
        (['128 future "x"'], False),
        (['0 issue "ca.example; accounturi=https://ca.example/acme/tls-server/account/2"'], False),
        (['0 issue "ca.example; validationmethods=http-01"'], False),
        (['0 issue "ca.example"', '0 issuewild ";"'], True),
    ],
)
def test_caa_that_forbids_fails_a_challenge_that_is_fulfilled(check, zone, records, wildcard):
    prove(zone)
    zone.add("example.test", "CAA", *records)
    kind, detail = problem(check, ChallengeType.DNS_01, wildcard=wildcard)
    assert kind == "caa"
    assert "CAA at example.test forbids" in detail


@pytest.mark.parametrize("name", [NAME, "example.test", "test"])
def test_caa_that_is_not_known_forbids(check, zone, name):
    prove(zone)
    zone.codes[name, "CAA"] = dns.rcode.SERVFAIL
    assert problem(check, ChallengeType.DNS_01)[0] == "dns"


def test_before_issuing_caa_speaks_in_rules(zone, resolver):
    """At finalize, too: forbidden is `ACME-CAA`; no answer is `ACME-CAA-LOOKUP`, which may pass."""
    identifier = parse_identifier(f"dns:{NAME}")
    checks = CaaChecks(resolver, ("ca.example",))
    asks = [CaaAsk(ACCOUNT, ChallengeType.DNS_01, identifier, wildcard=False)]
    checks.require(asks)
    zone.add(NAME, "CAA", '0 issue "other.example"')
    with pytest.raises(CaError) as caught:
        checks.require(asks)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.FORBIDDEN, ("ACME-CAA",))
    zone.codes[NAME, "CAA"] = dns.rcode.REFUSED
    with pytest.raises(CaError) as caught:
        checks.require(asks)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.UNAVAILABLE, ("ACME-CAA-LOOKUP",))
    assert caught.value.retry_after
    assert isinstance(caught.value.__cause__, DnsFailed)
    address = parse_identifier("ip:10.0.0.1")
    checks.require([CaaAsk(ACCOUNT, ChallengeType.HTTP_01, address, wildcard=False)])


def test_slow_dns_holds_up_few_threads(zone, resolver):
    """At finalize, where the threads that wait serve everybody else too."""
    checks = CaaChecks(resolver, ("ca.example",))
    asks = [CaaAsk(ACCOUNT, ChallengeType.DNS_01, parse_identifier(f"dns:{NAME}"), wildcard=False)]
    waiting = [checks._free.acquire(blocking=False) for _ in range(AT_ONCE)]
    assert all(waiting)
    with pytest.raises(CaError) as caught:
        checks.require(asks)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.UNAVAILABLE, ("ACME-CAA-LOOKUP",))
    checks._free.release()
    checks.require(asks)
    checks.require(asks)


def test_r38_nothing_in_the_settings_switches_a_check_off():
    """R38: an unknown key is an error, and no known one is a switch."""
    assert set(AcmeValidation.model_fields) == {
        *("networks", "resolvers", "http01_port", "tls_alpn01_port", "attempts", "threads"),
    }
    assert not any(each.annotation is bool for each in AcmeValidation.model_fields.values())
