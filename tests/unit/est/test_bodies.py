"""Base64 of DER, however its lines are broken; what else comes is refused in words that say what to send."""

from __future__ import annotations

import base64
import io
import textwrap

import pytest
from flask import Flask
from gunicorn.http.errors import InvalidChunkSize

from ca_server.core.errors import CaError, Kind
from ca_server.est.bodies import MAX_BODY_BYTES, MEDIA_TYPE, decode_body, read_csr
from tests.fakes.paper_authority import csr_der, dns

DER = csr_der(dns("a.example.com"))
TEXT = base64.b64encode(DER)
PEM = b"-----BEGIN CERTIFICATE REQUEST-----\n" + TEXT + b"\n-----END CERTIFICATE REQUEST-----\n"


def wrapped(length: int, newline: str) -> bytes:
    return newline.join(textwrap.wrap(TEXT.decode(), length)).encode()


@pytest.mark.parametrize(
    "body",
    [
        TEXT,
        TEXT + b"\n",
        TEXT + b"\r\n\r\n",
        wrapped(64, "\n"),
        wrapped(76, "\r\n") + b"\r\n",
        wrapped(76, "\r"),
        wrapped(5, " \t"),
        b" \n" + TEXT,
    ],
)
def test_line_breaks_and_spaces_say_nothing(body):
    assert decode_body(body) == DER


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (PEM, "PEM"),
        (base64.b64encode(PEM), "base64 of PEM"),
        (DER, "not base64"),
        (b"MA==MA==", "not base64"),
        (b"MAMCAQA====", "not base64"),
        (b"MAMCAQA=MAMC", "not base64"),
        (b"MAMC=", "not base64"),
        (b"MAMC====", "not base64"),
        (b"MAM", "not base64"),
        (b"M", "not base64"),
        (b"=" + TEXT, "not base64"),
        (TEXT[:40] + b"\x00" + TEXT[40:], "not base64"),
        (TEXT[:40] + b"\x0b" + TEXT[40:], "not base64"),
        (b"-" + TEXT[1:], "not base64"),
        (b"csr=" + TEXT, "not base64"),
        (base64.b64encode(b"hello"), "no DER"),
    ],
)
def test_everything_else_is_refused_by_name(body, words):
    with pytest.raises(CaError) as caught:
        decode_body(body)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.MALFORMED, ("EST-BASE64",))
    assert words in caught.value.detail
    assert "openssl req" in caught.value.detail


def read(body: bytes, content_type: str = MEDIA_TYPE, **more):
    app = Flask("test", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    with app.test_request_context("/", method="POST", data=body, content_type=content_type, **more):
        return read_csr()


def rules(caught) -> tuple[str, ...]:
    return caught.value.rule_ids


@pytest.mark.parametrize(
    "content_type", [MEDIA_TYPE, "Application/PKCS10", "application/pkcs10; charset=utf-8"]
)
def test_the_media_type_is_read_as_http_reads_it(content_type):
    assert read(TEXT, content_type).der == DER


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/pkcs10x", "application/pkcs7-mime", "application/x-www-form-urlencoded"],
)
def test_another_media_type_is_refused(content_type):
    with pytest.raises(CaError) as caught:
        read(TEXT, content_type)
    assert rules(caught) == ("EST-MEDIA-TYPE",)


def test_a_compressed_body_is_refused():
    with pytest.raises(CaError) as caught:
        read(TEXT, headers={"Content-Encoding": "gzip"})
    assert rules(caught) == ("EST-MEDIA-TYPE",)
    assert read(TEXT, headers={"Content-Encoding": "identity"}).der == DER


@pytest.mark.parametrize("value", ["base64", "binary", "8bit", "nonsense"])
def test_content_transfer_encoding_is_ignored(value):
    """RFC 8951 §3: any value in such a header."""
    assert read(TEXT, headers={"Content-Transfer-Encoding": value}).der == DER


def test_r32_the_cap_counts_what_was_read():
    """By a promise in a header, and without one: as the server passes on a chunked body."""
    assert read(TEXT + b" " * (MAX_BODY_BYTES - len(TEXT))).der == DER
    over = TEXT + b" " * (MAX_BODY_BYTES - len(TEXT) + 1)
    with pytest.raises(CaError) as caught:
        read(over)
    assert rules(caught) == ("EST-SIZE",)
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    with pytest.raises(CaError) as caught:
        read(b"", environ_overrides={**chunked, "wsgi.input": io.BytesIO(over), "CONTENT_LENGTH": ""})
    assert rules(caught) == ("EST-SIZE",)
    short = {**chunked, "wsgi.input": io.BytesIO(TEXT), "CONTENT_LENGTH": ""}
    assert read(b"", environ_overrides=short).der == DER


class BrokenChunks(io.RawIOBase):
    """What gunicorn makes of a body whose chunks have no size."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer) -> int:
        raise InvalidChunkSize(b"zz")


def test_a_body_that_breaks_http_is_refused():
    broken = {"wsgi.input_terminated": True, "wsgi.input": BrokenChunks(), "CONTENT_LENGTH": ""}
    with pytest.raises(CaError) as caught:
        read(b"", environ_overrides=broken)
    assert rules(caught) == ("EST-FRAMING",)
