"""Every form in which a denied address may come is denied, whatever the configuration allows (R26)."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_server.outbound.addresses import AddressRule

EVERYTHING = AddressRule(["0.0.0.0/0", "::/0"])
REHEARSAL = AddressRule(["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128"], loopback=True)

DENIED_V4 = [
    *(
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
    ),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.0.8", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255"),
]
DENIED_V6 = [
    *("::", "::1", "fe80::1", "febf::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "100::1", "5f00::1"),
    *("::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b:1::10.0.0.1"),
]


def forms(address: IPv4Address) -> dict[str, IPv6Address]:
    """Every IPv6 address that leads, or once led, to an IPv4 address."""
    number = int(address)
    return {
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "translated": IPv6Address((0xFFFF << 48) | number),
        "compatible": IPv6Address(number),
        "nat64": IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        "nat64-local": IPv6Address(int(IPv6Address("64:ff9b:1:ffff::")) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80) | 1),
        "teredo-client": IPv6Address(
            (0x20010000 << 96) | (int(IPv4Address("198.51.100.1")) << 64) | (number ^ 0xFFFFFFFF)
        ),
        "teredo-server": IPv6Address((0x20010000 << 96) | (number << 64) | 0x12345678),
    }


@pytest.mark.parametrize("text", DENIED_V4 + DENIED_V6)
def test_r26_no_configuration_allows_these(text):
    assert EVERYTHING.why_refused(ipaddress.ip_address(text))


@pytest.mark.parametrize("form", forms(IPv4Address("127.0.0.1")))
@pytest.mark.parametrize("text", DENIED_V4)
def test_r26_no_other_spelling_of_them_is_allowed(text, form):
    address = forms(IPv4Address(text))[form]
    assert EVERYTHING.why_refused(address)
    assert REHEARSAL.why_refused(address)


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "172.16.9.9", "192.168.1.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1"]
)
def test_others_are_allowed_if_they_are_listed(text):
    address = ipaddress.ip_address(text)
    assert EVERYTHING.why_refused(address) is None
    assert AddressRule([text]).why_refused(address) is None
    assert "not in a network" in (AddressRule(["10.99.0.0/16", "fd99::/16"]).why_refused(address) or "")
    assert AddressRule([]).why_refused(address)


def test_translation_of_good_addresses_is_allowed_where_it_is_listed():
    address = IPv6Address("64:ff9b::8.8.8.8")
    assert AddressRule(["64:ff9b::/96"]).why_refused(address) is None
    assert AddressRule(["8.8.8.8/32"]).why_refused(address)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_needs_a_rehearsal_and_a_network_of_its_own(text):
    address = ipaddress.ip_address(text)
    assert REHEARSAL.why_refused(address) is None
    assert AddressRule([text], loopback=True).why_refused(address) is None
    assert "loopback" in (AddressRule([text]).why_refused(address) or "")
    assert "loopback" in (AddressRule(["0.0.0.0/0", "::/0"], loopback=True).why_refused(address) or "")


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "fd00:ec2::254", "100.100.100.200"]
)
def test_a_rehearsal_has_loopback_and_nothing_else_more(text):
    assert AddressRule([text], loopback=True).why_refused(ipaddress.ip_address(text))


@given(st.ip_addresses())
def test_nothing_is_allowed_that_is_not_listed(address):
    assert AddressRule([], loopback=True).why_refused(address)
    if address not in ipaddress.ip_network("10.0.0.0/8"):
        assert AddressRule(["10.0.0.0/8"]).why_refused(address)


@given(st.ip_addresses(v=4))
def test_what_is_refused_as_ipv4_is_refused_in_every_form(address):
    if EVERYTHING.why_refused(address):
        assert all(EVERYTHING.why_refused(each) for each in forms(address).values())
