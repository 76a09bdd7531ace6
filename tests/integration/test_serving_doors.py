"""Both doors as `sealkeeper serve` runs them: gunicorn, TLS, several processes, hostile bytes on the wire."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_server.rest.bodies import MAX_BODY_BYTES
from tests.fixtures.commands import sealkeeper
from tests.fixtures.issuing import make_csr

pytestmark = [pytest.mark.hsm, pytest.mark.slow]


@dataclass
class Running:
    """A started server: where it listens, who may ask, and what it logged."""

    https: str
    http: str
    context: ssl.SSLContext
    token: str
    log: Path

    def connect(self) -> http.client.HTTPSConnection:
        host, port = self.https.rsplit(":", 1)
        return http.client.HTTPSConnection(host, int(port), timeout=60, context=self.context)

    def ask(self, method, path, body=None, **headers):
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read()

    def fetch(self, path):
        """What the plain HTTP door has there."""
        host, port = self.http.split(":")
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=60)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read()

    def raw(self, request: bytes) -> bytes:
        """Bytes on the wire, and the first line of what comes back."""
        host, port = self.https.rsplit(":", 1)
        with (
            socket.create_connection((host, int(port)), 60) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(request)
            return connection.recv(65536).split(b"\r\n", 1)[0]


def port_of(listen: str) -> str:
    return f"localhost:{listen.rsplit(':', 1)[1]}"


@pytest.fixture
def running(appliance, tmp_path):
    """`sealkeeper serve` and `sealkeeper worker`, ready; both stopped by SIGTERM."""
    config = ("--config", str(appliance.config_file))
    everything = ("--profile", "*", "--allow", "*")
    token = sealkeeper("token", "create", "--role", "administrator", "--name", "t", *everything, *config)
    log = tmp_path / "serve.log"
    started = Running(
        port_of(appliance.config.server.https),
        port_of(appliance.config.server.http),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        token.stdout.strip(),
        log,
    )
    with log.open("wb") as file:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "ca_server.cli", command, *config],
                stdout=file,
                stderr=file,
                env=appliance.environment,
            )
            for command in ("worker", "serve")
        ]
    try:
        wait_until_ready(started, processes)
        yield started
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(60) for process in processes]
    assert codes == [0, 0], log.read_text()


def wait_until_ready(started: Running, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 60
    root = started.log.parent / "root.pem"
    while time.monotonic() < deadline:
        assert [process.poll() for process in processes] == [None, None], started.log.read_text()
        with contextlib.suppress(OSError):
            root.write_bytes(started.fetch("/roots.pem"))
            started.context.load_verify_locations(root)
            response, _ = started.ask("GET", "/readyz?verbose")
            if response.status == 200:
                return
        time.sleep(0.2)
    pytest.fail(started.log.read_text())


def test_certificates_over_tls_and_hostile_bytes(running):
    key = ec.generate_private_key(ec.SECP256R1())
    body = json.dumps({"profile": "tls-client", "csr": make_csr(key, "client.example.com")})
    headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)}
    response, data = running.ask("POST", "/api/v1/certificate-requests", body, **headers)
    assert response.status == 201, data
    assert response.headers["Server"] == "sealkeeper"
    assert response.headers["Strict-Transport-Security"]
    issued = json.loads(data)["certificate"]

    check_client_certificate(running, issued["pem_chain"], key)
    check_hostile_bytes(running)
    check_metrics(running)
    check_log(running)


def check_client_certificate(running, chain, key):
    """R13 over the wire: granted, logged in, revoked, refused at the next request."""
    folder = running.log.parent
    (folder / "client.pem").write_text(chain)
    (folder / "client.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    grant = {"name": "machine", "role": "auditor", "certificate": chain}
    response, data = running.ask(
        "POST", "/api/v1/client-grants", json.dumps(grant), **{"Content-Type": "application/json"}
    )
    assert response.status == 201, data
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "root.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    machine = Running(running.https, running.http, context, "", running.log)

    def status():
        response, data = machine.ask("GET", "/api/v1/certificates")
        return response.status, json.loads(data)

    code, body = status()
    assert code == 200, body
    found = next(each["id"] for each in body["items"] if each["profile"] == "tls-client")
    path = f"/api/v1/certificates/{found}/revocation"
    revoked, data = running.ask(
        "POST", path, json.dumps({"reason": "superseded"}), **{"Content-Type": "application/json"}
    )
    assert revoked.status == 200, data
    code, body = status()
    assert (code, body["rule_ids"]) == (401, ["ACCESS-CERT-REVOKED"])


def check_hostile_bytes(running):
    """R31, R32 over the wire: every answer is a 4xx, and the worker lives on."""
    head = (
        b"POST /api/v1/certificate-requests HTTP/1.1\r\nHost: localhost\r\n"
        b"Authorization: Bearer " + running.token.encode() + b"\r\n"
        b"Content-Type: application/json\r\nIdempotency-Key: k\r\nConnection: close\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for request, status in (
        (head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"1\r\n \r\n0\r\n\r\n", b"413"),
        (head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", b"400"),
        (head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n", b"400"),
        (head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), b"413"),
        (head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (head + b"Content-Length: 2\r\n\r\n[]", b"400"),
        (b"GET /api/v1/" + b"x" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"\x00\x01\x02\r\n\r\n", b"400"),
    ):
        line = running.raw(request)
        assert line.split(b" ")[1] == status, (line, request[-60:])
    response, _ = running.ask("GET", "/api/v1/profiles")
    assert response.status == 200


def check_metrics(running):
    """The publication door adds up what the workers of the other door counted."""
    text = running.fetch("/metrics").decode()
    labels = 'authority="[^"]+",profile="tls-client",protocol="rest",result="success"'
    assert re.search(rf"^sealkeeper_issued_total{{{labels}}} 1.0$", text, re.MULTILINE), text
    assert re.search(r'^sealkeeper_hsm_up{purpose="issue"} 1.0$', text, re.MULTILINE), text
    assert re.search(r"^sealkeeper_hsm_sign_seconds_count\{key=", text, re.MULTILINE)
    assert re.search(r"^x509_cert_not_after\{", text, re.MULTILINE)


def check_log(running):
    """Every line that a door wrote is one JSON object without the token."""
    text = running.log.read_text()
    assert running.token not in text
    assert "Traceback" not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    answered = [line for line in lines if line["event.action"] == "http.answered"]
    assert "/api/v1/certificate-requests" in {line["http.route"] for line in answered}
