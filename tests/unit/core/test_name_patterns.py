"""Patterns allow and deny; names are never patterns (R9)."""

from __future__ import annotations

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import Identifier, IdentifierType, parse_identifier
from ca_server.core.name_patterns import matches, parse_pattern, touches


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("dns:a.example.com", "*"),
        ("dns:a.example.com", "dns:**"),
        ("dns:a.example.com", "dns:a.example.com"),
        ("dns:a.example.com", "dns:A.Example.com"),
        ("dns:a.example.com", "dns:*.example.com"),
        ("dns:a.b.example.com", "dns:**.example.com"),
        ("dns:a.b.example.com", "dns:a.*.example.com"),
        ("dns:*.example.com", "dns:*.example.com"),
        ("dns:localhost", "dns:*"),
        ("ip:10.1.2.3", "ip:10.0.0.0/8"),
        ("ip:10.1.2.3", "ip:10.1.2.3"),
        ("ip:2001:db8::1", "ip:2001:db8::/32"),
        ("ip:2001:db8::1", "ip:*"),
        ("email:bob@example.com", "email:*@example.com"),
        ("email:bob@a.b.example.com", "email:*@**.example.com"),
        ("email:bob@example.com", "email:bob@example.com"),
        ("email:bob@example.com", "email:**"),
        ("uri:spiffe://example.org/ns/a", "uri:spiffe://example.org/**"),
        ("uri:spiffe://example.org/ns/a", "uri:spiffe://*/ns/*"),
        ("uri:urn:dev:ops:1", "uri:urn:dev:**"),
        ("registered-id:1.2.3", "registered-id:1.2.3"),
        ("other:300c", "other:*"),
    ],
)
def test_a_pattern_stands_for_a_name(name, pattern):
    assert matches(parse_identifier(name), pattern)
    assert touches(parse_identifier(name), pattern)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("dns:example.com", "dns:*.example.com"),
        ("dns:example.com", "dns:**.example.com"),
        ("dns:a.b.example.com", "dns:*.example.com"),
        ("dns:aexample.com", "dns:*.example.com"),
        ("dns:a.example.com", "dns:*"),
        ("dns:a.example.com.evil.test", "dns:**.example.com"),
        ("dns:a.example.com", "ip:*"),
        ("ip:11.0.0.1", "ip:10.0.0.0/8"),
        ("ip:2001:db8::1", "ip:10.0.0.0/8"),
        ("email:bob@evil.test", "email:*@example.com"),
        ("email:bob@a.example.com", "email:*@example.com"),
        ("email:alice@example.com", "email:bob@example.com"),
        ("uri:spiffe://example.org", "uri:spiffe://example.org/**"),
        ("uri:spiffe://example.org/a/b", "uri:spiffe://example.org/*"),
        ("uri:https://example.org/a", "uri:spiffe://example.org/**"),
        ("uri:spiffe://example.orgevil/a", "uri:spiffe://example.org/**"),
        ("registered-id:1.2.3.4", "registered-id:1.2.3"),
    ],
)
def test_a_pattern_stands_for_nothing_else(name, pattern):
    assert not matches(parse_identifier(name), pattern)
    assert not touches(parse_identifier(name), pattern)


def test_r9_a_star_in_a_name_is_never_read_as_a_pattern():
    wildcard = parse_identifier("dns:*.example.com")
    assert not matches(wildcard, "dns:a.example.com")
    # Such identifiers cannot be parsed; were one made by mistake, it would still stand for itself alone.
    forged = Identifier(IdentifierType.DNS, "**.example.com")
    assert not matches(forged, "dns:a.b.example.com")
    assert not matches(Identifier(IdentifierType.EMAIL, "*@example.com"), "email:bob@example.com")
    assert not matches(Identifier(IdentifierType.URI, "spiffe://*/a"), "uri:spiffe://example.org/a")


def test_a_wildcard_is_denied_where_it_would_stand_for_a_denied_name():
    wildcard = parse_identifier("dns:*.example.com")
    assert touches(wildcard, "dns:secret.example.com")
    assert not touches(wildcard, "dns:secret.example.net")
    assert not touches(wildcard, "dns:a.secret.example.com")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "**",
        "dns:",
        "dns:a*.example.com",
        "dns:a.**.example.com",
        "dns:example.com.",
        "dns:.example.com",
        "ip:10.0.0.1/8",
        "ip:10.*",
        "email:example.com",
        "email:b*@example.com",
        "uri:example.com",
        "uri:spiffe://**/a",
        "uri:spiffe://example.org/a*",
        "registered-id:1.*",
        "other:zz",
        "nonsense:*",
        "dns:" + "a." * 2000 + "com",
    ],
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(CaError) as caught:
        parse_pattern(text)
    assert caught.value.kind is Kind.MALFORMED
    assert caught.value.rule_ids == ("NAME-PATTERN",)
