"""Names of every type go into certificates and come out as they were."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ca_server.core.errors import CaError
from ca_server.core.identifiers import (
    Identifier,
    IdentifierType,
    identifier_of,
    parse_identifier,
    to_general_name,
)

NAMES = [
    x509.DNSName("a.example.com"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    x509.RFC822Name("bob@example.com"),
    x509.UniformResourceIdentifier("spiffe://example.org/a"),
    x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])),
    x509.DirectoryName(x509.Name([])),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x03bob"),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{type(name).__name__}")
def test_every_type_of_name_comes_back(name):
    identifier = identifier_of(name)
    assert to_general_name(identifier) == name
    assert parse_identifier(str(identifier)) == identifier


def test_every_type_is_covered():
    assert {identifier_of(name).type for name in NAMES} == set(IdentifierType)


def test_case_does_not_make_another_name():
    assert identifier_of(x509.DNSName("A.Example.com")) == identifier_of(x509.DNSName("a.example.com"))


def test_a_network_is_no_address():
    with pytest.raises(CaError) as caught:
        identifier_of(x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")))
    assert caught.value.rule_ids == ("NAME-IP",)


@pytest.mark.parametrize("text", ["", "a.example.com", "DNS:a.example.com", "x400:a"])
def test_a_text_without_a_known_type_is_refused(text):
    with pytest.raises(CaError) as caught:
        parse_identifier(text)
    assert caught.value.rule_ids == ("NAME-TYPE",)


def test_identifiers_sort_by_type_and_value():
    names = [
        Identifier(IdentifierType.IP, "10.0.0.1"),
        Identifier(IdentifierType.DNS, "b"),
        Identifier(IdentifierType.DNS, "a"),
    ]
    assert [str(each) for each in sorted(names)] == ["dns:a", "dns:b", "ip:10.0.0.1"]
