"""What is a well-formed name, and its one spelling."""

from __future__ import annotations

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.core.name_syntax import (
    canonical_der,
    canonical_dns,
    canonical_email,
    canonical_ip,
    canonical_oid,
    canonical_uri,
)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("WWW.Example.COM", "www.example.com"),
        ("localhost", "localhost"),
        ("host.internal", "host.internal"),
        ("*.Example.com", "*.example.com"),
        ("_acme.example.com", "_acme.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a" * 63 + ".example.com", "a" * 63 + ".example.com"),
        ("4.3.2.1.in-addr.arpa", "4.3.2.1.in-addr.arpa"),
    ],
)
def test_dns_names_have_one_spelling(text, spelled):
    assert canonical_dns(text) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "example.com.",
        ".example.com",
        "a..b",
        "-a.example.com",
        "a-.example.com",
        "a" * 64 + ".example.com",
        ".".join(["a" * 60] * 5),
        "exämple.com",
        "a b.example.com",
        "a\x00.example.com",
        "192.0.2.1",
        "host.42",
        "xn--.example.com",
        "xn--abc-.example.com",
        "xn--a-ecp\x7f.example.com",
        "ab--cd.example.com",
        "a/b.example.com",
        "a+b.example.com",
        "a,b.example.com",
    ],
)
def test_what_is_no_dns_name_is_refused(text):
    refused(canonical_dns, text, "NAME-DNS")


@pytest.mark.parametrize("text", ["*", "*.com", "*.*.example.com", "a*.example.com", "www.*.example.com"])
def test_a_wildcard_stands_alone_at_the_left_and_not_too_high(text):
    refused(canonical_dns, text, "NAME-DNS-WILDCARD")


def test_addresses_have_one_spelling():
    assert canonical_ip("2001:DB8:0:0::1") == "2001:db8::1"
    assert canonical_ip("192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    "text", ["", "192.0.2.0/24", "192.0.2.01", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.*"]
)
def test_what_is_not_one_address_is_refused(text):
    refused(canonical_ip, text, "NAME-IP")


def test_a_mailbox_keeps_the_case_of_its_local_part():
    assert canonical_email("Bob.B@Example.COM") == "Bob.B@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "bob",
        "@example.com",
        "bob@",
        "bob@*.example.com",
        "*@example.com",
        "b+b@example.com",
        "a/b@example.com",
        "a,b@example.com",
        '"b b"@example.com',
        "a@b@example.com",
        "b..b@example.com",
        "bob@example.com.",
        "x" * 65 + "@example.com",
    ],
)
def test_what_is_no_mailbox_is_refused(text):
    refused(canonical_email, text, "NAME-EMAIL")


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("HTTPS://Example.COM/Path?q=1", "https://example.com/Path?q=1"),
        ("urn:dev:ops:32473-gateway-0042", "urn:dev:ops:32473-gateway-0042"),
        ("http://localhost:8080/crl/a.crl", "http://localhost:8080/crl/a.crl"),
        ("spiffe://example.org", "spiffe://example.org"),
        ("spiffe://example.org/ns/Prod/sa/web", "spiffe://example.org/ns/Prod/sa/web"),
    ],
)
def test_uris_have_one_spelling(text, spelled):
    assert canonical_uri(text) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no-scheme",
        "//example.com",
        "https://",
        "https://user@example.com/",
        "https://example.com/../a",
        "https://example.com/a b",
        "https://example.com/*",
        "https://example.com/a+b",
        "https://example.com/a,b",
        "https://example.com/#part",
        "https://example.com/%zz",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_what_is_no_plain_absolute_uri_is_refused(text):
    refused(canonical_uri, text, "NAME-URI")


@pytest.mark.parametrize(
    "text",
    [
        "spiffe:example.org",
        "spiffe://Example.org/a",
        "spiffe:///a",
        "spiffe://example.org/",
        "spiffe://example.org/a//b",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a?b=c",
        "spiffe://example.org:443/a",
        "spiffe://example.org/%61",
    ],
)
def test_what_is_no_spiffe_id_is_refused(text):
    refused(canonical_uri, text, "NAME-URI-SPIFFE")


def test_object_identifiers_and_der_are_checked():
    assert canonical_oid("1.3.6.1.4.1.32473") == "1.3.6.1.4.1.32473"
    assert canonical_der("300C310A") == "300c310a"
    for text in ("1", "3.1", "1.02", "1.3.*", ""):
        refused(canonical_oid, text, "NAME-OID")
    for text in ("", "30", "0c0161", "30zz", "300"):
        refused(canonical_der, text, "NAME-DER")


def test_a_refusal_shows_hostile_names_in_ascii_and_short():
    with pytest.raises(CaError) as caught:
        canonical_dns("\x1b[31m" + "ä" * 500)
    assert caught.value.detail.isascii()
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 500


def refused(canonical, text, rule_id):
    with pytest.raises(CaError) as caught:
        canonical(text)
    assert caught.value.kind is Kind.REJECTED_IDENTIFIER
    assert caught.value.rule_ids == (rule_id,)
