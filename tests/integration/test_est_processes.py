"""EST as it is really served: bytes on a TLS connection to gunicorn, over each database."""

from __future__ import annotations

import base64
import http.client
import ssl

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from ca_server.est.bodies import MAX_BODY_BYTES
from tests.fixtures.commands import sealkeeper
from tests.fixtures.est_door import ROOT, csr_of

pytestmark = [pytest.mark.hsm, pytest.mark.slow]

HEADERS_END = 1024


def connect(running) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(running.layout.roots))
    port = running.layout.options.https_port
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    connection.connect()
    return connection.sock


def exchange(running, request: bytes) -> tuple[bytes, bytes]:
    """Bytes on the wire, and the headers and the body of what comes back until the server closes."""
    with connect(running) as wire:
        wire.sendall(request)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    headers, _, body = answer.partition(b"\r\n\r\n")
    return headers, body


def request(method: str, path: str, *headers: str) -> bytes:
    lines = (f"{method} {ROOT}/{path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode()


def basic(secret: str) -> str:
    return f"Authorization: Basic {base64.b64encode(secret.encode()).decode()}"


def make_secret(running) -> str:
    """USERNAME:PASSWORD of a new enrolment secret."""
    made = sealkeeper(
        *("est", "secret", "create", "--profile", "tls-peer", "--allow", "*", "--uses", "100"),
        *("--owner", "a test", "--config", str(running.appliance.config_file)),
        SOFTHSM2_CONF=str(running.layout.softhsm_conf),
    )
    return made.stdout.strip()


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*chunks, b""))


def status(headers: bytes) -> int:
    return int(headers.split(b" ")[1])


def test_r32_bodies_are_capped_by_what_is_read_and_answers_are_what_small_clients_can_read(running):
    secret = make_secret(running)
    post = ("POST", "simpleenroll", "Content-Type: application/pkcs10", basic(secret))
    text = base64.encodebytes(csr_of("a.example.com"))
    check_answers(running, post, text)
    check_sizes(running, post, text)
    # After all of it the server still answers, and with the same certificate.
    plain = request(*post, f"Content-Length: {len(text)}") + text
    assert exchange(running, plain)[1] == exchange(running, plain)[1]


def check_answers(running, post, text):
    """Content-Length and few headers, whatever the framing of the request."""
    bodies = set()
    for framed in (
        request(*post, f"Content-Length: {len(text)}") + text,
        request(*post, "Transfer-Encoding: chunked") + chunked(text),
        request(*post, "Transfer-Encoding: chunked") + chunked(*(bytes([each]) for each in text)),
    ):
        headers, body = exchange(running, framed)
        assert status(headers) == 200, body
        assert f"Content-Length: {len(body)}".encode() in headers
        assert b"Transfer-Encoding: chunked" not in headers
        assert len(headers) < HEADERS_END
        bodies.add(body)
    (body,) = bodies
    assert body.endswith(b"\n")
    assert len(pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))) == 1
    for path in ("cacerts", "csrattrs", "nothing", "simpleenroll"):
        headers, body = exchange(running, request("GET", path, "X-Request-Id: " + "r" * 64))
        assert len(headers) < HEADERS_END
        assert f"Content-Length: {len(body)}".encode() in headers


def check_sizes(running, post, text):
    """Promised, sent in one piece, sent in many, and broken off."""
    over = text + b" " * (MAX_BODY_BYTES + 1 - len(text))
    piece = b" " * 4096
    for framed, wanted in (
        (request(*post, f"Content-Length: {len(over)}") + over, 413),
        (request(*post, "Transfer-Encoding: chunked") + chunked(over), 413),
        (
            request(*post, "Transfer-Encoding: chunked")
            + chunked(text, *[piece] * (MAX_BODY_BYTES // len(piece))),
            413,
        ),
        (request(*post, "Transfer-Encoding: chunked") + b"zz\r\nMIIB\r\n0\r\n\r\n", 400),
        (request(*post, "Transfer-Encoding: chunked") + b"-1\r\nMIIB\r\n0\r\n\r\n", 400),
        (request(*post, "Content-Length: 4", "Transfer-Encoding: chunked") + chunked(b"MIIB"), 400),
        (request(*post, "Content-Length: 0"), 400),
        (request(*post), 400),
    ):
        headers, body = exchange(running, framed)
        assert status(headers) == wanted, (framed[:200], body)
        assert wanted != 413 or b"[EST-SIZE]" in body
    # Who has not shown who they are does not get to send a body: the answer comes before it.
    headers, _ = exchange(running, request("POST", "simpleenroll", f"Content-Length: {len(over)}"))
    assert status(headers) == 401
