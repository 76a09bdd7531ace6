"""Asks DNS for the few record types that validation needs, of the resolvers that we were told to use.

An answer counts if it is to our question; the resolver follows CNAMEs, and only what its chain leads to is
read. Names are always complete: there are no search domains.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from ca_server.core.acme.caa import CaaRecord
from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.acme.evidence import Evidence, printable
from ca_server.outbound.addresses import Address
from ca_server.outbound.deadline import Deadline

QUERY_SECONDS = 5.0
LOOKUP_SECONDS = 10.0
MAX_RECORDS = 100
# What fits into one unfragmented packet nearly everywhere; larger answers come by TCP.
_PAYLOAD = 1232
_ROUNDS = 2
_HERE: tuple[Address, ...] = (ipaddress.ip_address("::1"), ipaddress.ip_address("127.0.0.1"))
_NO_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS})


class Trouble(StrEnum):
    """Why there is no answer, which is another thing than an answer that says there is nothing."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    BAD_ANSWER = "bad-answer"
    BAD_NAME = "bad-name"
    NO_RESOLVER = "no-resolver"


class DnsFailed(ValidationFailed):
    """DNS gave no answer; nothing may be concluded from that."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__("dns", detail)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Answer:
    """The records at a name; none where `exists` is False, and none or some where it is True."""

    exists: bool
    records: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Server:
    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Resolver:
    """Asks the given resolvers (`ADDRESS:PORT`), or without any those of /etc/resolv.conf, in turn."""

    def __init__(self, resolvers: Sequence[str] = ()) -> None:
        self._servers = tuple(map(_server, resolvers))

    def addresses(self, name: str, evidence: Evidence, deadline: Deadline) -> tuple[Address, ...]:
        """The addresses of a name, IPv6 before IPv4.

        Raises:
            DnsFailed: neither question was answered, or one was not and the other gave nothing.
            ValidationFailed: dns, the name has no address.
        """
        if self._is_here(name):
            evidence.note("localhost", name=name)
            return _HERE
        found: list[Address] = []
        failure: DnsFailed | None = None
        for kind in (dns.rdatatype.AAAA, dns.rdatatype.A):
            # Some name servers fail on AAAA alone; the addresses that there are count.
            try:
                answer = self._ask(name, kind, evidence, deadline)
            except DnsFailed as error:
                failure = error
                continue
            found += [ipaddress.ip_address(each.address) for each in answer.records]
        if found:
            return tuple(found)
        if failure is not None:
            raise failure
        raise ValidationFailed("dns", f"{name} has neither an A nor an AAAA record")

    def texts(self, name: str, evidence: Evidence) -> tuple[str, ...]:
        """The TXT records at a name, the strings of each joined, as Latin-1.

        Raises:
            DnsFailed: there was no answer.
        """
        answer = self._ask(name, dns.rdatatype.TXT, evidence, Deadline(LOOKUP_SECONDS))
        return tuple(b"".join(each.strings).decode("latin-1") for each in answer.records)

    def caa(self, name: str, evidence: Evidence, deadline: Deadline) -> tuple[CaaRecord, ...]:
        """The CAA records at a name, none where there are none.

        Raises:
            DnsFailed: there was no answer; whoever needs to know must not go on.
        """
        answer = self._ask(name, dns.rdatatype.CAA, evidence, deadline)
        return tuple(
            CaaRecord(each.flags, each.tag.decode("latin-1"), each.value.decode("latin-1"))
            for each in answer.records
        )

    def _is_here(self, name: str) -> bool:
        """Whether a name is this machine's own and no server is asked for it (RFC 6761 §6.3).

        Resolvers that somebody chose are asked for every name: they may have been chosen for that.
        """
        return not self._servers and (name == "localhost" or name.endswith(".localhost"))

    def _ask(
        self, name: str, kind: dns.rdatatype.RdataType, evidence: Evidence, deadline: Deadline
    ) -> Answer:
        if self._is_here(name):
            return Answer(exists=True, records=())
        what = f"{kind.name} {name}"
        try:
            answer, server = self._try_all(name, kind, deadline)
        except DnsFailed as error:
            evidence.note("dns", question=what, error=error.problem.detail)
            raise
        evidence.note(
            "dns",
            question=what,
            resolver=str(server),
            answer=[_shown(each) for each in answer.records],
            status="found" if answer.exists else "NXDOMAIN",
        )
        return answer

    def _try_all(
        self, name: str, kind: dns.rdatatype.RdataType, deadline: Deadline
    ) -> tuple[Answer, _Server]:
        """Ask each resolver until one answers; those that were silent are asked a second time."""
        what = f"{kind.name} records of {printable(name)}"
        question = _question(name)
        servers = self._servers or _system_servers()
        failure = DnsFailed(Trouble.TIMEOUT, f"DNS did not answer in time for {what}")
        for _ in range(_ROUNDS):
            for server in tuple(servers):
                if deadline.passed:
                    raise failure
                try:
                    return _read(_exchange(question, kind, server, deadline), what), server
                except DnsFailed as error:
                    failure = error
                    if error.trouble is not Trouble.TIMEOUT:
                        servers = tuple(each for each in servers if each != server)
        raise failure


def _server(text: str) -> _Server:
    address, _, port = text.rpartition(":")
    return _Server(address.strip("[]"), int(port))


def _system_servers() -> tuple[_Server, ...]:
    """Read anew for each question, for a machine's resolvers change while it runs."""
    try:
        configured = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        configured = dns.resolver.Resolver(configure=False)
    servers = tuple(_Server(str(each), configured.port) for each in configured.nameservers)
    if not servers:
        raise DnsFailed(Trouble.NO_RESOLVER, "no DNS resolver is configured")
    return servers


def _question(name: str) -> dns.name.Name:
    try:
        return dns.name.from_text(name, origin=dns.name.root)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise DnsFailed(Trouble.BAD_NAME, f"{printable(name)} cannot be asked for in DNS") from error


def _exchange(
    name: dns.name.Name, kind: dns.rdatatype.RdataType, server: _Server, deadline: Deadline
) -> dns.message.Message:
    """One question to one resolver, by TCP where UDP has no room; without EDNS where that is not known."""
    response = _send(dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD), server, deadline)
    if response.rcode() in _NO_EDNS:
        response = _send(dns.message.make_query(name, kind), server, deadline)
    return response


def _send(query: dns.message.QueryMessage, server: _Server, deadline: Deadline) -> dns.message.Message:
    question = query.question[0]
    what = f"{dns.rdatatype.to_text(question.rdtype)} records of {question.name.to_text(omit_final_dot=True)}"
    where: dict[str, Any] = {"where": server.address, "port": server.port}
    wait = Deadline(QUERY_SECONDS)
    try:
        try:
            # What is not from that resolver, or not to this question, is passed over as if it never came.
            return dns.query.udp(
                query,
                **where,
                timeout=deadline.left(QUERY_SECONDS),
                ignore_unexpected=True,
                ignore_errors=True,
                raise_on_truncation=True,
            )
        except dns.message.Truncated:
            return dns.query.tcp(query, **where, timeout=deadline.left(wait.left()))
    except (dns.exception.Timeout, TimeoutError) as error:
        raise DnsFailed(
            Trouble.TIMEOUT, f"the resolver {server} did not answer in time for {what}"
        ) from error
    except (dns.exception.DNSException, OSError, EOFError) as error:
        raise DnsFailed(
            Trouble.BAD_ANSWER, f"the resolver {server} gave no sound answer for {what}"
        ) from error


def _read(response: dns.message.Message, what: str) -> Answer:
    code = response.rcode()
    if code not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        raise DnsFailed(Trouble.REFUSED, f"DNS answered {dns.rcode.to_text(code)} for {what}")
    assert isinstance(response, dns.message.QueryMessage)
    try:
        records = response.resolve_chaining().answer
    except dns.exception.DNSException as error:
        raise DnsFailed(Trouble.BAD_ANSWER, f"DNS gave an answer without sense for {what}") from error
    if records is not None and len(records) > MAX_RECORDS:
        raise DnsFailed(Trouble.BAD_ANSWER, f"there are over {MAX_RECORDS} {what}")
    return Answer(code == dns.rcode.NOERROR, tuple(records or ()))


_SHOWN: dict[dns.rdatatype.RdataType, Callable[[Any], str]] = {
    dns.rdatatype.TXT: lambda each: printable(b"".join(each.strings)),
}


def _shown(record: Any) -> str:
    show = _SHOWN.get(record.rdtype)
    return show(record) if show else printable(record.to_text())
