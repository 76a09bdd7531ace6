"""DNS as it really comes: truncated, broken, lying, silent. What is not known is never taken for nothing."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from ca_server.core.acme.caa import CaaRecord
from ca_server.core.acme.challenges import ValidationFailed
from ca_server.outbound import resolver as resolver_module
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.resolver import DnsFailed, Resolver, Trouble
from tests.fakes.dns_server import dns_server

NAME = "www.example.test"


@pytest.fixture
def impatient(monkeypatch):
    """Waits half a second where the server waits five."""
    monkeypatch.setattr(resolver_module, "QUERY_SECONDS", 0.5)
    monkeypatch.setattr(resolver_module, "LOOKUP_SECONDS", 1.0)


def addresses(resolver, evidence, name=NAME):
    return [str(each) for each in resolver.addresses(name, evidence, Deadline(5))]


def test_addresses_of_both_families_come_ipv6_first(zone, resolver, evidence):
    zone.add(NAME, "A", "10.0.0.1", "10.0.0.2")
    zone.add(NAME, "AAAA", "fd00::1")
    first, *others = addresses(resolver, evidence)
    assert (first, set(others)) == ("fd00::1", {"10.0.0.1", "10.0.0.2"})
    assert [each["question"] for each in evidence.as_data()["notes"]] == [f"AAAA {NAME}", f"A {NAME}"]


def test_names_are_complete_and_asked_as_they_are(zone, resolver, evidence):
    zone.add("host", "A", "10.0.0.1")
    assert addresses(resolver, evidence, "host") == ["10.0.0.1"]
    assert {name for name, _ in zone.questions} == {"host"}


def test_a_cname_is_followed_by_the_resolver_and_only_its_end_counts(zone, resolver, evidence):
    zone.add(NAME, "CNAME", "real.example.test.")
    zone.add("real.example.test", "A", "10.0.0.7")

    def smuggle(response, _tcp):
        response.answer.append(dns.rrset.from_text("other.example.test.", 60, "IN", "A", "10.6.6.6"))
        return response

    zone.hook = smuggle
    assert addresses(resolver, evidence) == ["10.0.0.7"]


def test_a_name_without_addresses_is_told_from_one_that_nobody_answers_for(zone, resolver, evidence):
    zone.add(NAME, "TXT", "here")
    with pytest.raises(ValidationFailed, match="neither an A nor an AAAA") as caught:
        addresses(resolver, evidence)
    assert not isinstance(caught.value, DnsFailed)
    zone.codes[NAME] = dns.rcode.SERVFAIL
    with pytest.raises(DnsFailed, match="SERVFAIL") as caught:
        addresses(resolver, evidence)
    assert caught.value.trouble is Trouble.REFUSED


def test_addresses_of_one_family_count_where_the_other_fails(zone, resolver, evidence):
    zone.add(NAME, "A", "10.0.0.1")
    zone.codes[NAME, "AAAA"] = dns.rcode.SERVFAIL
    assert addresses(resolver, evidence) == ["10.0.0.1"]


def test_txt_strings_of_one_record_are_joined_and_records_kept_apart(zone, resolver, evidence):
    zone.add(NAME, "TXT", '"one " "two"', '"three"')
    assert sorted(resolver.texts(NAME, evidence)) == ["one two", "three"]


@pytest.mark.parametrize("exists", [True, False])
def test_no_record_is_an_answer(zone, resolver, evidence, exists):
    if exists:
        zone.add(NAME, "A", "10.0.0.1")
    assert resolver.texts(NAME, evidence) == ()
    assert resolver.caa(NAME, evidence, Deadline(5)) == ()
    assert evidence.as_data()["notes"][0]["status"] == ("found" if exists else "NXDOMAIN")


def test_caa_records_come_as_they_are(zone, resolver, evidence):
    zone.add(NAME, "CAA", '128 issue "ca.example; a=b"')
    assert resolver.caa(NAME, evidence, Deadline(5)) == (CaaRecord(128, "issue", "ca.example; a=b"),)


def test_what_is_too_large_for_udp_comes_by_tcp(zone, resolver, evidence):
    zone.add(NAME, "TXT", *(f'"{number:03} {"x" * 200}"' for number in range(40)))
    assert len(resolver.texts(NAME, evidence)) == 40
    assert zone.by_tcp == 1


def test_too_many_records_are_refused(zone, resolver, evidence):
    zone.add(NAME, "TXT", *(f'"{number}"' for number in range(101)))
    with pytest.raises(DnsFailed, match="over 100"):
        resolver.texts(NAME, evidence)


def test_a_server_without_edns_is_asked_without(zone, resolver, evidence):
    zone.add(NAME, "TXT", "plain")

    def old(response, _tcp):
        if response.edns >= 0:
            response.use_edns(False)
            response.answer.clear()
            response.set_rcode(dns.rcode.FORMERR)
        return response

    zone.hook = old
    assert resolver.texts(NAME, evidence) == ("plain",)


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_a_refusal_is_trouble_and_is_not_asked_for_again(zone, resolver, evidence, code):
    zone.codes[NAME] = code
    with pytest.raises(DnsFailed, match=dns.rcode.to_text(code)) as caught:
        resolver.caa(NAME, evidence, Deadline(5))
    assert caught.value.problem.type == "dns"
    assert len(zone.questions) <= 2


@pytest.mark.usefixtures("impatient")
def test_silence_ends_in_time_after_a_second_try(zone, resolver, evidence):
    zone.hook = lambda _response, _tcp: None
    with pytest.raises(DnsFailed, match="in time") as caught:
        resolver.texts(NAME, evidence)
    assert caught.value.trouble is Trouble.TIMEOUT
    assert len(zone.questions) == 2


@pytest.mark.usefixtures("impatient")
def test_an_answer_to_another_question_is_none(zone, resolver, evidence):
    zone.add(NAME, "TXT", "right")

    def other(response, _tcp):
        response.question[0] = dns.rrset.RRset(dns.name.from_text("evil.test"), 1, dns.rdatatype.TXT)
        return response

    zone.hook = other
    with pytest.raises(DnsFailed):
        resolver.texts(NAME, evidence)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("junk", [b"", b"\x00" * 11, b"\xff" * 600])
def test_junk_is_no_answer(zone, resolver, evidence, junk):
    zone.hook = lambda _response, _tcp: junk
    with pytest.raises(DnsFailed):
        resolver.texts(NAME, evidence)


@pytest.mark.usefixtures("impatient")
def test_junk_by_tcp_is_no_answer(zone, resolver, evidence):
    def truncated(response, tcp):
        response.flags |= dns.flags.TC
        return b"\x00" * 5 if tcp else response

    zone.hook = truncated
    with pytest.raises(DnsFailed):
        resolver.texts(NAME, evidence)


def test_a_circle_of_cnames_is_no_answer(zone, resolver, evidence):
    def circle(response, _tcp):
        response.answer[:] = [
            dns.rrset.from_text(f"{NAME}.", 60, "IN", "CNAME", "b.test."),
            dns.rrset.from_text("b.test.", 60, "IN", "CNAME", f"{NAME}."),
        ]
        return response

    zone.hook = circle
    with pytest.raises(DnsFailed, match="without sense"):
        resolver.texts(NAME, evidence)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("first", ["silent", "servfail"])
def test_the_next_resolver_is_asked_where_one_fails(zone, evidence, first):
    zone.add(NAME, "TXT", "second")
    with dns_server() as broken:
        if first == "silent":
            broken.hook = lambda _response, _tcp: None
        else:
            broken.codes[NAME] = dns.rcode.SERVFAIL
        assert Resolver([broken.place, zone.place]).texts(NAME, evidence) == ("second",)
        assert broken.questions


@pytest.mark.parametrize("name", ["a" * 64 + ".test", ".".join(["a" * 60] * 5), "a..b", "\\999.test"])
def test_a_name_that_dns_cannot_carry_is_not_asked_for(zone, resolver, evidence, name):
    with pytest.raises(DnsFailed) as caught:
        resolver.texts(name, evidence)
    assert caught.value.trouble is Trouble.BAD_NAME
    assert zone.questions == []


def test_without_a_resolver_there_is_a_plain_word(monkeypatch, evidence):
    def nothing(*, configure=True):
        if configure:
            raise dns.resolver.NoResolverConfiguration
        return type("Empty", (), {"nameservers": [], "port": 53})()

    monkeypatch.setattr(dns.resolver, "Resolver", nothing)
    with pytest.raises(DnsFailed, match="no DNS resolver"):
        Resolver().texts(NAME, evidence)


@pytest.mark.usefixtures("impatient")
def test_an_ipv6_resolver_is_written_in_brackets(evidence):
    with pytest.raises(DnsFailed, match=r"\[::1\]:1"):
        Resolver(["[::1]:1"]).texts(NAME, evidence)
