"""Connects to a name: resolves it once, judges what comes, and connects to a judged address itself (R26).

Nothing resolves the name a second time, so an answer that changes in between changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.evidence import Evidence
from ca_server.outbound.addresses import Address, AddressRule
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.resolver import Resolver

CONNECT_SECONDS = 3.0
# Of each family: a name with a hundred dead addresses must not keep us busy.
MAX_ADDRESSES = 2


class TooMuch(OSError):
    """The other side sent more than anybody needs to say."""


@dataclass(slots=True)
class Bounds:
    """How long a conversation may last, and how many bytes may still come; both hold for every read."""

    deadline: Deadline
    bytes_left: int

    def receive(self, sock: socket.socket, read: Callable[[], int]) -> int:
        """One read in the time and room that is left."""
        sock.settimeout(self.deadline.left())
        count = read()
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise TooMuch
        return count


class BoundedSocket(socket.socket):
    """A TCP connection whose every read keeps to its bounds; whoever drips bytes gains no time."""

    bounds: Bounds

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """See `socket.recv_into`."""
        return self.bounds.receive(self, lambda: super(BoundedSocket, self).recv_into(buffer, nbytes, flags))


class BoundedTLSSocket(ssl.SSLSocket):
    """The same over TLS. One handshake or read keeps to the socket's time-out as a whole."""

    bounds: Bounds

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """See `ssl.SSLSocket.recv_into`."""
        return self.bounds.receive(
            self, lambda: super(BoundedTLSSocket, self).recv_into(buffer, nbytes, flags)
        )


class Dialer:
    """Opens connections, for HTTP and TLS alike."""

    def __init__(self, resolver: Resolver, rule: AddressRule) -> None:
        self._resolver = resolver
        self._rule = rule

    def connect(self, host: str, port: int, evidence: Evidence, bounds: Bounds) -> BoundedSocket:
        """A connection to the first of the host's allowed addresses that takes one.

        `host` is a DNS name or an address.

        Raises:
            ValidationFailed: dns; connection, none of the addresses is allowed or none takes a connection.
        """
        reason = ""
        for address in self._allowed(host, evidence, bounds.deadline):
            try:
                sock = _connect(address, port, bounds)
            except OSError as error:
                reason = f"{_place(address, port)} {_in_words(error)}"
                evidence.note("connect", address=_place(address, port), error=_in_words(error))
                continue
            evidence.note("connect", address=_place(address, port))
            return sock
        raise ValidationFailed("connection", f"{host} cannot be reached: {reason}")

    def _allowed(self, host: str, evidence: Evidence, deadline: Deadline) -> list[Address]:
        try:
            found: tuple[Address, ...] = (ipaddress.ip_address(host),)
        except ValueError:
            found = self._resolver.addresses(host, evidence, deadline)
        refusals = {address: self._rule.why_refused(address) for address in found}
        told = [reason for reason in refusals.values() if reason is not None]
        if told:
            evidence.note("addresses", host=host, refused=told)
        allowed = [address for address in found if refusals[address] is None]
        if not allowed:
            raise ValidationFailed("connection", f"{host} is not connected to: {told[0]}")
        return [
            *[each for each in allowed if each.version == 6][:MAX_ADDRESSES],
            *[each for each in allowed if each.version == 4][:MAX_ADDRESSES],
        ]


def wrap_in_tls(
    sock: BoundedSocket, context: ssl.SSLContext, server_name: str | None, bounds: Bounds
) -> BoundedTLSSocket:
    """Speak TLS on a connection; on failure the connection is closed.

    Raises:
        OSError: the handshake failed (`ssl.SSLError`) or took too long.
    """
    context.sslsocket_class = BoundedTLSSocket
    try:
        sock.settimeout(bounds.deadline.left())
        wrapped = context.wrap_socket(sock, server_hostname=server_name)
    except (OSError, ValueError) as error:
        sock.close()
        if isinstance(error, OSError):
            raise
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, "no such server name") from error
    assert isinstance(wrapped, BoundedTLSSocket)
    wrapped.bounds = bounds
    return wrapped


def _connect(address: Address, port: int, bounds: Bounds) -> BoundedSocket:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    sock = BoundedSocket(family, socket.SOCK_STREAM)
    sock.bounds = bounds
    try:
        sock.settimeout(bounds.deadline.left(CONNECT_SECONDS))
        sock.connect((str(address), port))
    except OSError:
        sock.close()
        raise
    return sock


def _place(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _in_words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    return f"did not take the connection ({error.strerror or type(error).__name__})"
