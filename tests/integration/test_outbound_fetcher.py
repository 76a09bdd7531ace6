"""http-01's fetcher against servers that redirect, drip, flood and lie (R26, R27)."""

from __future__ import annotations

import time

import pytest
from cryptography import x509

from ca_server.core.acme.challenges import ValidationFailed
from ca_server.outbound import fetcher as fetcher_module
from ca_server.outbound.fetcher import MAX_BODY, Fetcher
from tests.fakes.certificates_for_alpn import alpn_context
from tests.fakes.raw_server import answer, raw_server, redirect

NAME = "www.example.test"
PATH = "/.well-known/acme-challenge/token"


@pytest.fixture
def quick(monkeypatch):
    """A second in all where the server gives ten."""
    monkeypatch.setattr(fetcher_module, "TOTAL_SECONDS", 1.0)


@pytest.fixture
def fetch(dialer, zone, evidence):
    """Fetch from a running server under its name; other ports may be allowed too."""
    zone.add(NAME, "A", "127.0.0.1")

    def run(server, *, ports=(), path=PATH, name=NAME):
        allowed = frozenset({server.port, *ports})
        return Fetcher(dialer, allowed).fetch(f"http://{name}:{server.port}{path}", evidence)

    return run


def problem(call, *arguments, **keywords) -> tuple[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        call(*arguments, **keywords)
    return caught.value.problem.type, caught.value.problem.detail


def test_one_get_without_anything_that_is_ours(fetch, evidence):
    with raw_server(answer(b"found")) as server:
        fetched = fetch(server)
    assert (fetched.status, fetched.body, fetched.whole) == (200, b"found", True)
    assert fetched.url == f"http://{NAME}:{server.port}{PATH}"
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == f"GET {PATH} HTTP/1.1"
    assert sorted(line.split(":")[0] for line in head[1:] if line) == [
        *("Accept", "Accept-Encoding", "Connection", "Host", "User-Agent"),
    ]
    assert f"Host: {NAME}:{server.port}" in head
    assert "Accept-Encoding: identity" in head
    assert evidence.as_data()["notes"][-2:] == [
        {"step": "connect", "address": f"127.0.0.1:{server.port}"},
        {"step": "http", "url": fetched.url, "status": 200, "bytes": 5},
    ]


def test_addresses_are_fetched_from_without_dns(dialer, zone, evidence):
    with raw_server(answer(b"six"), host="::1") as server:
        fetched = Fetcher(dialer, frozenset({server.port})).fetch(f"http://[::1]:{server.port}/", evidence)
    assert fetched.body == b"six"
    assert zone.questions == []
    assert f"Host: [::1]:{server.port}" in server.requests[0].decode()


def test_ipv6_is_tried_first_and_ipv4_where_nobody_is_there(fetch, zone):
    zone.add(NAME, "AAAA", "::1")
    with raw_server(answer(b"four")) as server:
        assert fetch(server).body == b"four"
        with raw_server(answer(b"six"), host="::1", port=server.port):
            assert fetch(server).body == b"six"


def test_r26_a_rebinding_name_is_asked_for_once(fetch, zone):
    """The second answer would lead elsewhere; nobody asks for it between judging and connecting."""

    def rebind(response, _tcp):
        if zone.asked("A"):
            zone.records[NAME, "A"] = ["127.0.0.2"]
        return response

    zone.hook = rebind
    with (
        raw_server(answer(b"first")) as first,
        raw_server(answer(b"second"), host="127.0.0.2", port=first.port),
    ):
        assert fetch(first).body == b"first"
    assert zone.asked("A") == [NAME]
    assert zone.asked("AAAA") == [NAME]


@pytest.mark.parametrize(
    "target",
    [
        *("127.0.0.200", "169.254.169.254", "10.1.2.3", "[::ffff:127.0.0.1]", "[fe80::1]", "0.0.0.0"),
        *("[64:ff9b::7f00:1]", "[fd00:ec2::254]", "denied.example.test", "metadata.example.test"),
    ],
)
def test_r26_r27_a_redirect_to_a_denied_address_is_not_followed(fetch, zone, target):
    zone.add("denied.example.test", "A", "127.0.0.200")
    zone.add("metadata.example.test", "AAAA", "::ffff:169.254.169.254")
    with raw_server(redirect(f"http://{target}/latest/meta-data/")) as server:
        kind, detail = problem(fetch, server)
    assert kind == "connection"
    assert "refused" in detail or "may connect" in detail or "no host" in detail
    assert server.connections == 1


@pytest.mark.parametrize(
    "location",
    [
        *(
            "ftp://www.example.test/",
            "file:///etc/passwd",
            "gopher://www.example.test/",
            "javascript:alert(1)",
        ),
        *("http://www.example.test:22/", "http://www.example.test:99999/", "http://www.example.test:0/"),
        *("http://user:word@www.example.test/", "http://user@www.example.test/", "http://[::1"),
        *("http://2130706433/", "http://127.1/", "http://0x7f.0.0.1/", "http://www.example.test./x"),
        *(
            "http://*.example.test/",
            "http://w w.example.test/",
            "http://\x7f.test/",
            "http://[fe80::1%25lo]/",
        ),
        *(
            "http://" + "a" * 3000,
            "http://b\xfccher.test/",
            "//www.example.test:25/",
            "http://www.example.test:/\x01",
        ),
    ],
)
def test_r27_a_redirect_to_what_is_no_plain_web_address_is_not_followed(fetch, zone, location):
    with raw_server(redirect(location)) as server:
        kind, detail = problem(fetch, server)
    assert kind == "connection"
    assert detail.isprintable()
    assert detail.isascii()
    assert server.connections == 1
    assert set(zone.asked("A")) == {NAME}


def test_a_redirect_is_followed_and_judged_anew(fetch, zone, evidence):
    zone.add("other.example.test", "A", "127.0.0.2")
    with (
        raw_server(answer(b"there"), host="127.0.0.2") as second,
        raw_server(redirect(f"//other.example.test:{second.port}/x?y=1#z", "301 Moved")) as first,
    ):
        fetched = fetch(first, ports=[second.port])
    assert fetched.body == b"there"
    assert fetched.url == f"http://other.example.test:{second.port}/x?y=1"
    assert second.requests[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
def test_ten_redirects_are_followed_and_no_more(fetch, status):
    left = [10]

    def count_down(sock, _request):
        left[0] -= 1
        talk = redirect("/next", status) if left[0] >= 0 else answer(b"end")
        talk(sock, b"")

    with raw_server(count_down) as server:
        assert fetch(server).body == b"end"
        left[0] = 11
        kind, detail = problem(fetch, server)
    assert (kind, detail) == ("connection", "there are over 10 redirects")


def test_a_redirect_to_https_needs_no_certificate_that_anybody_vouches_for(fetch, zone):
    zone.add("secure.example.test", "A", "127.0.0.3")
    tls = alpn_context([x509.DNSName("quite-another.test")], None, protocols=())
    with (
        raw_server(answer(b"secret way"), host="127.0.0.3", tls=tls) as second,
        raw_server(redirect(f"https://secure.example.test:{second.port}/")) as first,
    ):
        assert fetch(first, ports=[second.port]).body == b"secret way"


def test_a_redirect_to_https_where_nobody_speaks_tls_says_so(fetch):
    with (
        raw_server(answer(b"plain")) as second,
        raw_server(redirect(f"https://{NAME}:{second.port}/")) as first,
    ):
        kind, detail = problem(fetch, first, ports=[second.port])
    assert kind == "tls"
    assert f"https://{NAME}:{second.port}/" in detail


def test_a_status_that_is_no_redirect_comes_as_it_is(fetch):
    for status in ("404 Not Found", "304 Not Modified", "300 Multiple Choices", "302 Without Location"):
        with raw_server(answer(b"", status)) as server:
            assert fetch(server).status == int(status[:3])


def drip(piece: bytes, pause: float):
    def talk(sock, _request):
        for _ in range(400):
            sock.sendall(piece)
            time.sleep(pause)

    return talk


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_slow_drip_gains_no_time(fetch, head, tls):
    def talk(sock, _request):
        sock.sendall(head)
        drip(b"1\r\n" if b"chunked" in head else b"x", 0.03)(sock, b"")

    context = alpn_context([x509.DNSName(NAME)], None, protocols=()) if tls else None
    begun = time.monotonic()
    with raw_server(talk, tls=context) as slow:
        if not tls:
            kind, detail = problem(fetch, slow)
        else:
            with raw_server(redirect(f"https://{NAME}:{slow.port}/")) as first:
                kind, detail = problem(fetch, first, ports=[slow.port])
        assert time.monotonic() - begun < 2
        slow.stopping.set()
    assert kind == "connection"
    assert "did not answer within" in detail or "HTTP" in detail


@pytest.mark.usefixtures("quick")
def test_silence_after_the_handshake_or_before_it_ends_in_time(fetch):
    def silent(_sock, _request):
        time.sleep(1.5)

    with raw_server(silent) as mute:
        assert problem(fetch, mute)[0] == "connection"
        with raw_server(redirect(f"https://{NAME}:{mute.port}/")) as first:
            assert problem(fetch, first, ports=[mute.port])[0] == "connection"


@pytest.mark.usefixtures("quick")
def test_redirects_share_one_time_limit(fetch):
    def slow_redirect(sock, _request):
        time.sleep(0.3)
        redirect("/again")(sock, b"")

    begun = time.monotonic()
    with raw_server(slow_redirect) as server:
        # It runs out while DNS is asked, or while the server is.
        assert problem(fetch, server)[0] in {"connection", "dns"}
        assert time.monotonic() - begun < 2


def flood(head: bytes, piece: bytes):
    def talk(sock, _request):
        sock.sendall(head)
        for _ in range(100_000):
            sock.sendall(piece)

    return talk


def test_an_endless_body_is_cut(fetch):
    with raw_server(flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000)) as server:
        fetched = fetch(server)
    assert (len(fetched.body), fetched.whole) == (MAX_BODY, False)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"z" * 1000),
        (b"", b"x" * 1000),
        (b"", b"\x00" * 1000),
    ],
)
def test_endless_headers_are_no_answer(fetch, head, piece):
    with raw_server(flood(head, piece)) as server:
        assert problem(fetch, server)[0] == "connection"


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n"),
        *(b"HTTP/1.1 20000 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
    ],
)
def test_what_is_not_http_is_told_in_plain_words(fetch, raw):
    with raw_server(lambda sock, _request: sock.sendall(raw)) as server:
        kind, detail = problem(fetch, server)
    assert kind == "connection"
    assert NAME in detail


def test_compression_is_neither_asked_for_nor_undone(fetch):
    bomb = b"\x1f\x8b" + b"\x00" * 50
    with raw_server(answer(bomb, "200 OK", "Content-Encoding: gzip")) as server:
        assert fetch(server).body == bomb


def test_nobody_there_is_told_with_the_address(fetch):
    with raw_server(answer(b"")) as server:
        pass
    kind, detail = problem(fetch, server)
    assert kind == "connection"
    assert f"127.0.0.1:{server.port}" in detail
    assert "Connection refused" in detail


def test_few_of_many_addresses_are_tried(fetch, zone, evidence):
    zone.records[NAME, "A"] = [f"127.0.0.{number}" for number in range(50, 90)]
    with raw_server(answer(b"")) as server:
        problem(fetch, server)
    tried = [each for each in evidence.as_data()["notes"] if each["step"] == "connect"]
    assert len(tried) == 2


def test_allowed_addresses_are_used_beside_denied_ones(fetch, zone, evidence):
    zone.records[NAME, "A"] = ["127.0.0.200", "127.0.0.1"]
    with raw_server(answer(b"good")) as server:
        assert fetch(server).body == b"good"
    [refused] = [each["refused"] for each in evidence.as_data()["notes"] if each["step"] == "addresses"]
    assert refused == ["127.0.0.200 is refused: loopback"]
