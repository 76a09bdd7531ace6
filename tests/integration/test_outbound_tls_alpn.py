"""tls-alpn-01 against servers that show the right certificate, and every wrong one (RFC 8737, RFC 8738)."""

from __future__ import annotations

import ipaddress
import time

import pytest
from cryptography import x509

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.core.identifiers import parse_identifier
from ca_server.outbound import tls_alpn as tls_alpn_module
from ca_server.outbound.tls_alpn import TlsAlpn
from tests.fakes.certificates_for_alpn import alpn_context
from tests.fakes.raw_server import raw_server

NAME = "www.example.test"
DNS = x509.DNSName(NAME)
DIGEST = bytes(range(32))


@pytest.fixture
def check(dialer, zone, evidence):
    """Check the name, or another identifier, at a running server."""
    zone.add(NAME, "A", "127.0.0.1")

    def run(server, identifier=f"dns:{NAME}", digest=DIGEST):
        TlsAlpn(dialer, server.port).check(parse_identifier(identifier), digest, evidence)

    return run


def served(context, **where):
    return raw_server(lambda _sock, _request: None, tls=context, **where)


def problem(check, server, *arguments) -> tuple[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        check(server, *arguments)
    return caught.value.problem.type, caught.value.problem.detail


def test_the_right_certificate_is_accepted(check, evidence):
    with served(alpn_context([DNS], DIGEST)) as server:
        check(server)
    notes = evidence.as_data()["notes"]
    assert {"step": "tls", "server_name": NAME, "protocol": "acme-tls/1"} in notes
    assert notes[-1]["step"] == "certificate"


def test_names_are_compared_without_case(check):
    with served(alpn_context([x509.DNSName("WWW.Example.TEST")], DIGEST)) as server:
        check(server)


def test_the_server_is_asked_by_the_name(check):
    asked = []
    context = alpn_context([DNS], DIGEST)
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    with served(context) as server:
        check(server)
    assert asked == [NAME]


@pytest.mark.parametrize(
    ("address", "name"),
    [("127.0.0.1", "1.0.0.127.in-addr.arpa"), ("::1", "1." + "0." * 31 + "ip6.arpa")],
)
def test_an_address_is_asked_for_by_its_reverse_name_and_has_an_address_as_its_name(
    check, zone, address, name
):
    asked = []
    context = alpn_context([x509.IPAddress(ipaddress.ip_address(address))], DIGEST)
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    with served(context, host=address) as server:
        check(server, f"ip:{address}")
    assert asked == [name]
    assert zone.questions == []


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (lambda: alpn_context([DNS], bytes(32)), "not that of this challenge"),
        (lambda: alpn_context([DNS], None), "lacks the acmeIdentifier"),
        (lambda: alpn_context([DNS], DIGEST, critical=False), "not critical"),
        (lambda: alpn_context([DNS], DIGEST, extension=DIGEST), "not that of this challenge"),
        (lambda: alpn_context([DNS], DIGEST, extension=b"\x04\x20" + DIGEST + b"\x00"), "not that of this"),
        (lambda: alpn_context([DNS], DIGEST, extension=b"\x04\x81\x20" + DIGEST), "not that of this"),
        (lambda: alpn_context([DNS], DIGEST, extension=b""), "not that of this challenge"),
        (lambda: alpn_context([DNS], DIGEST, self_signed=False), "not signed by its own key"),
        (lambda: alpn_context([], DIGEST), "its only name"),
        (lambda: alpn_context([x509.DNSName("other.example.test")], DIGEST), "other.example.test"),
        (lambda: alpn_context([DNS, x509.DNSName("other.example.test")], DIGEST), "its only name"),
        (lambda: alpn_context([DNS, DNS], DIGEST), "its only name"),
        (lambda: alpn_context([x509.DNSName("*.example.test")], DIGEST), "its only name"),
        (lambda: alpn_context([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], DIGEST), "its only name"),
        (lambda: alpn_context([DNS, x509.RFC822Name("a@example.test")], DIGEST), "its only name"),
        (lambda: alpn_context([x509.DNSName("bad name\x1b")], DIGEST), "its only name"),
    ],
)
def test_any_other_certificate_is_an_incorrect_response(check, context, words):
    with served(context()) as server:
        kind, detail = problem(check, server)
    assert kind == "incorrectResponse"
    assert words in detail
    assert detail.isprintable()


def test_a_certificate_for_the_name_does_not_prove_the_address(check):
    with served(alpn_context([x509.DNSName("1.0.0.127.in-addr.arpa")], DIGEST)) as server:
        assert problem(check, server, "ip:127.0.0.1")[0] == "incorrectResponse"


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1")])
def test_without_the_protocol_no_certificate_counts(check, protocols):
    with served(alpn_context([DNS], DIGEST, protocols=protocols)) as server:
        kind, detail = problem(check, server)
    assert kind == "tls"
    assert f"{NAME} at port {server.port}" in detail


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x01"]
)
def test_who_does_not_speak_tls_is_told_so(check, said):
    with raw_server(lambda sock, _request: sock.sendall(said)) as server:
        kind, _ = problem(check, server)
    assert kind in {"tls", "connection"}


def test_silence_ends_in_time(check, monkeypatch):
    monkeypatch.setattr(tls_alpn_module, "TOTAL_SECONDS", 0.5)
    begun = time.monotonic()
    with raw_server(lambda _sock, _request: time.sleep(1)) as server:
        kind, detail = problem(check, server)
        assert time.monotonic() - begun < 1
    assert (kind, "in time" in detail) == ("connection", True)


def test_a_handshake_that_drips_gains_no_time(check, monkeypatch):
    monkeypatch.setattr(tls_alpn_module, "TOTAL_SECONDS", 0.5)

    def drip(sock, _request):
        for octet in b"\x16\x03\x03\x40\x00" + b"\x02" * 60:
            sock.sendall(bytes([octet]))
            time.sleep(0.03)

    begun = time.monotonic()
    with raw_server(drip) as server:
        assert problem(check, server)[0] == "connection"
        assert time.monotonic() - begun < 1


def test_r26_a_denied_address_is_not_connected_to(check, zone):
    zone.records[NAME, "A"] = ["127.0.0.200"]
    with served(alpn_context([DNS], DIGEST), host="127.0.0.200") as server:
        kind, detail = problem(check, server)
    assert (kind, server.connections) == ("connection", 0)
    assert "127.0.0.200 is refused" in detail
