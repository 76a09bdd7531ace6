"""Whom we may connect to: an allow-list of networks, and addresses that nothing can allow (R26).

Names lead wherever their owner points them, so an address is judged each time before it is connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
# Written out, for what Python calls reserved or private differs between its versions.
_NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), reason)
    for reason, networks in {
        "the address of a cloud's metadata service": (
            *("169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32"),
            *("168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd00:ec2::23/128"),
            "fd20:ce::254/128",
        ),
        "unspecified": ("0.0.0.0/8", "::/128"),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "multicast": ("224.0.0.0/4", "ff00::/8"),
        "reserved": ("240.0.0.0/4", "192.0.0.0/24", "100::/64", "5f00::/16"),
        "IPv4 written as IPv6": ("::ffff:0:0/96", "::ffff:0:0:0/96"),
        # Where in it the IPv4 address stands is known to the translator alone (RFC 8215, RFC 6052 §2.2).
        "for translation to IPv4, and nobody can tell where it leads": ("64:ff9b:1::/48",),
    }.items()
    for network in networks
)
_COMPATIBLE = IPv6Network("::/96")
_TEREDO = IPv6Network("2001::/32")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRule:
    """Judges addresses by the networks that the configuration lists.

    `loopback` lets a listed network of loopback addresses count, which rehearsals need and production
    never has.
    """

    def __init__(self, networks: Sequence[str], *, loopback: bool = False) -> None:
        self._networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, networks))
        self._loopback: tuple[Network, ...] = (
            tuple(filter(is_loopback_network, self._networks)) if loopback else ()
        )

    def why_refused(self, address: Address) -> str | None:
        """Why this address must not be connected to, or None where it may be."""
        if any(address in network for network in self._loopback):
            return None
        reason = _why_never(address) or next(filter(None, map(_why_never, _stands_for(address))), None)
        if reason is not None:
            return f"{address} is refused: {reason}"
        if not any(address in network for network in self._networks):
            return f"{address} is not in a network that this server may connect to"
        return None


def is_loopback_network(network: Network) -> bool:
    """Whether it holds loopback addresses only."""
    return any(_within(network, each) for each in _LOOPBACK)


def _within(network: Network, other: Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]


def _why_never(address: Address) -> str | None:
    if any(address in network for network in _LOOPBACK):
        return "loopback"
    return next((reason for network, reason in _NEVER if address in network), None)


def _stands_for(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to by translation or tunnel."""
    if isinstance(address, IPv4Address):
        return
    packed = address.packed
    if address in _SIX_TO_FOUR:
        yield IPv4Address(packed[2:6])
    elif address in _TEREDO:
        yield IPv4Address(packed[4:8])
        yield IPv4Address(bytes(each ^ 0xFF for each in packed[12:]))
    elif address in _COMPATIBLE or address in _NAT64:
        yield IPv4Address(packed[12:])
