"""The HTTP door: both methods, every spelling of a GET path, cache headers, caps, health."""

from __future__ import annotations

import base64
import io
import json
import logging
from datetime import timedelta
from urllib.parse import quote

import pytest
from cryptography.x509 import ocsp

from ca_server.core.errors import CaError
from ca_server.hsm.port import SignatureUnknown
from ocsp_responder.app import MAX_PATH_LENGTH, Application, decode_path
from ocsp_responder.logs import configure_logs
from tests.fakes.responder import ResponderBench


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was taken of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "the whole body was asked for"
        self.taken += size
        return b"\x00" * size


class Client:
    """Calls the application as a WSGI server does."""

    def __init__(self) -> None:
        self.bench = ResponderBench()
        self.bench.source.issue(1)
        self.ended = 0
        self.application = Application(
            self.bench.responder, (self.bench.issuer,), self.bench.clock, timedelta(seconds=60), self._end
        )

    def _end(self) -> None:
        self.ended += 1

    def call(self, method: str, path: str = "/", body=b"", **headers: str):
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": stream, **headers}
        said = {}

        def start_response(status, fields):
            said.update(status=status, headers=dict(fields))

        data = b"".join(self.application(environ, start_response))
        assert said["headers"]["Content-Length"] == str(len(data))
        return said["status"], said["headers"], data

    def status_of(self, data: bytes) -> str:
        answer = ocsp.load_der_ocsp_response(data)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return answer.response_status.name
        return answer.certificate_status.name


@pytest.fixture
def client():
    return Client()


def path_of(request: bytes) -> str:
    return base64.b64encode(request).decode()


def test_post_is_answered_and_never_cached(client):
    status, headers, data = client.call("POST", body=client.bench.request(1))
    assert (status, client.status_of(data)) == ("200 OK", "GOOD")
    assert headers["Content-Type"] == "application/ocsp-response"
    assert headers["Cache-Control"] == "no-store"


def awkward_request(client) -> str:
    """A request whose base64 has every character that URLs trip over."""
    for start in range(256):
        nonce = bytes((start + number) % 256 for number in range(33))
        text = path_of(client.bench.request(1, nonce=nonce))
        if "+" in text and "/" in text and text.endswith("="):
            return text
    raise AssertionError("no such request")


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: "/" + text,
        lambda text: "//" + text,
        lambda text: "///" + text,
        lambda text: text,
        lambda text: "/" + quote(text, safe=""),
        lambda text: "/" + text.replace("+", " "),
        lambda text: "/" + text.rstrip("="),
    ],
    ids=["plain", "two slashes", "three slashes", "no slash", "escaped twice", "blank for plus", "unpadded"],
)
def test_get_is_answered_in_every_spelling(client, spell):
    status, _, data = client.call("GET", spell(awkward_request(client)))
    assert (status, client.status_of(data)) == ("200 OK", "GOOD")


def test_get_may_be_cached_for_a_while(client):
    """RFC 5019 §6.2."""
    path = "/" + path_of(client.bench.request(1))
    status, headers, data = client.call("GET", path)
    assert headers["Cache-Control"] == "max-age=60, public, no-transform, must-revalidate"
    assert headers["Last-Modified"] == "Mon, 01 Mar 2027 12:00:00 GMT"
    assert headers["Expires"] == "Mon, 01 Mar 2027 12:01:00 GMT"
    status, again, body = client.call("GET", path, HTTP_IF_NONE_MATCH=headers["ETag"])
    assert (status, body, again["ETag"]) == ("304 Not Modified", b"", headers["ETag"])
    status, _, body = client.call("GET", path, HTTP_IF_NONE_MATCH='"other"')
    assert (status, body) == ("200 OK", data)


@pytest.mark.parametrize("serial_number", [2, 3])
def test_unknown_and_errors_are_not_cached(client, serial_number):
    request = client.bench.request(serial_number) if serial_number == 2 else b"\x30\x00"
    _, headers, data = client.call("GET", "/" + path_of(request))
    assert client.status_of(data) in {"UNKNOWN", "MALFORMED_REQUEST"}
    assert headers["Cache-Control"] == "no-store"
    assert "ETag" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/favicon.ico",
        "/%00",
        "/\x00\xff",
        "/" + "A" * MAX_PATH_LENGTH,
        "/../../etc/passwd",
        "/MEE=M",
        "/A",
    ],
)
def test_a_path_that_is_no_request_is_malformed(client, path):
    status, headers, data = client.call("GET", path)
    assert (status, client.status_of(data)) == ("200 OK", "MALFORMED_REQUEST")
    assert headers["Content-Type"] == "application/ocsp-response"


def test_the_rule_of_a_bad_path_is_named():
    with pytest.raises(CaError) as caught:
        decode_path("/not base64!")
    assert caught.value.rule_ids == ("OCSP-PATH",)


def test_r3_a_bug_is_an_ocsp_error_and_its_values_stay_out_of_the_log(client, capsys, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    client.bench.key.error = KeyError("canary")
    configure_logs(client.bench.clock)
    _, _, data = client.call("POST", body=client.bench.request(1))
    assert client.status_of(data) == "INTERNAL_ERROR"
    told = capsys.readouterr().err
    assert "canary" not in told
    line = json.loads(told.splitlines()[-1])
    assert (line["log.level"], line["error.type"]) == ("error", "KeyError")
    assert line["@timestamp"] == "2027-03-01T12:00:00Z"
    assert "responder.py" in line["error.stack_trace"]


def test_r32_no_more_is_read_than_a_request_may_have(client):
    body = Endless()
    _, _, data = client.call("POST", body=body)
    assert client.status_of(data) == "MALFORMED_REQUEST"
    assert body.taken == 8 * 1024 + 1


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_other_methods_are_refused(client, method):
    status, headers, data = client.call(method, body=client.bench.request(1))
    assert (status, headers["Allow"], data) == ("405 Method Not Allowed", "GET, POST", b"")


def test_a_late_token_answers_try_later_and_ends_the_process(client):
    client.bench.key.error = SignatureUnknown("too late")
    _, _, data = client.call("POST", body=client.bench.request(1))
    assert (client.status_of(data), client.ended) == ("TRY_LATER", 1)


def test_live_is_live_whatever_is_away(client):
    client.bench.source.away = True
    client.bench.key.unplug()
    status, _, data = client.call("GET", "/livez")
    assert (status, data) == ("200 OK", b"ok\n")


def test_ready_looks_at_database_and_key_every_few_seconds(client, monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr("ocsp_responder.app.time.monotonic", lambda: seconds[0])
    assert client.call("GET", "/readyz")[0] == "200 OK"
    client.bench.source.away = True
    client.bench.key.unplug()
    client.bench.advance(11)
    assert client.call("GET", "/readyz")[0] == "200 OK"
    seconds[0] += 5
    status, _, data = client.call("GET", "/readyz")
    assert status == "503 Service Unavailable"
    assert data == b"database: not ready\nkey of issuing-1: not ready\n"


@pytest.mark.parametrize("days", [-4000, 4000])
def test_a_delegated_certificate_outside_its_time_is_not_ready(client, days):
    client.bench.clock.advance(seconds=days * 86_400)
    status, _, data = client.call("GET", "/readyz")
    assert status == "503 Service Unavailable"
    assert data == b"certificate of issuing-1: not ready\n"


def test_the_end_of_each_delegated_certificate_is_a_metric(client, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    certificate = client.bench.issuer.signer.certificate
    status, _, data = client.call("GET", "/metrics")
    [sample] = [line for line in data.decode().splitlines() if line.startswith("x509_cert_not_after{")]
    assert status == "200 OK"
    assert f'serial_number="{certificate.serial_number}"' in sample
    assert 'filepath="inventory/responder/issuing-1"' in sample
    assert float(sample.split()[-1]) == certificate.not_valid_after_utc.timestamp()


def test_a_late_token_at_a_health_check_ends_the_process(client):
    client.bench.key.error = SignatureUnknown("too late")
    assert client.call("GET", "/readyz")[0] == "503 Service Unavailable"
    assert client.ended == 1
