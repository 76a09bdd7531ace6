"""A small DNS server on loopback, over UDP and TCP, that answers what a test tells it to, lies included."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

UDP_ROOM = 1232


@dataclass
class DnsServer:
    """`records` maps (name, type) to record texts; `codes` a name or (name, type) to a response code.

    `hook` may change a response, or return None to say nothing; it is told whether TCP was used.
    """

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    codes: dict[str | tuple[str, str], dns.rcode.Rcode] = field(default_factory=dict)
    hook: Callable[[dns.message.Message, bool], dns.message.Message | bytes | None] | None = None
    questions: list[tuple[str, str]] = field(default_factory=list)
    by_tcp: int = 0
    port: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, kind: str, *texts: str) -> None:
        self.records.setdefault((name, kind), []).extend(texts)

    def asked(self, kind: str) -> list[str]:
        """The names that were asked for this type, in order."""
        return [name for name, asked in self.questions if asked == kind]

    def respond(self, wire: bytes, *, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions.append((name, kind))
        self.by_tcp += tcp
        response: dns.message.Message | bytes | None = self._response(query, name, kind)
        if self.hook is not None:
            response = self.hook(response, tcp)
        if response is None or isinstance(response, bytes):
            return response
        if tcp:
            return response.to_wire(max_size=65_535)
        try:
            return response.to_wire(max_size=UDP_ROOM)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _response(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        code = self.codes.get((name, kind), self.codes.get(name, dns.rcode.NOERROR))
        response.set_rcode(code)
        if code != dns.rcode.NOERROR:
            return response
        target = name
        while (target, kind) not in self.records and (target, "CNAME") in self.records:
            response.answer.append(_rrset(target, "CNAME", self.records[target, "CNAME"]))
            target = self.records[target, "CNAME"][0].rstrip(".")
        if texts := self.records.get((target, kind)):
            response.answer.append(_rrset(target, kind, texts))
        elif not any(known == target for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response


def _rrset(name: str, kind: str, texts: list[str]) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(dns.name.from_text(name), 60, "IN", kind, texts)


@contextlib.contextmanager
def dns_server() -> Iterator[DnsServer]:
    """A running server; UDP and TCP share a port."""
    server = DnsServer()

    class Datagrams(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, sock = self.request
            answer = server.respond(wire, tcp=False)
            if answer is not None:
                sock.sendto(answer, self.client_address)

    class Streams(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.request.recv(2))
            answer = server.respond(self.request.recv(length), tcp=True)
            if answer is not None:
                self.request.sendall(struct.pack("!H", len(answer)) + answer)

    with _paired(Datagrams, Streams) as (udp, tcp):
        server.port = udp.server_address[1]
        threads = [threading.Thread(target=each.serve_forever, args=(0.02,)) for each in (udp, tcp)]
        for each in threads:
            each.start()
        yield server
        for each in (udp, tcp):
            each.shutdown()
        for each in threads:
            each.join()


@contextlib.contextmanager
def _paired(datagrams, streams):
    """Both protocols on one port; another port is tried where somebody has the one for TCP."""
    for attempt in range(20):
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), datagrams)
        try:
            tcp = socketserver.ThreadingTCPServer(udp.server_address, streams)
        except OSError:
            udp.server_close()
            if attempt == 19:
                raise
            continue
        udp.daemon_threads = tcp.daemon_threads = True
        with udp, tcp:
            yield udp, tcp
        return
